"""Augmented training batches in PyTorch, a whole batch at a time on the training device. Counterpart of `train.tf.batches`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from models.preprocessing import fit_u8
from train.images import epoch_batches, epoch_seed, n_batches
from train.loop import ALONE, Ranks
from train.torch.augment import crop_and_flip, cutout, per_image, random_boxes, shifted

if TYPE_CHECKING:
    from core.records import Float32Array, ImageSet
    from models.card import Preprocessing
    from train.recipes import TorchRecipe

# Images are first shrunk to at most this much more than the network's input, as in ImageNet recipes (256 for 224): the
# resampling of crops does not antialias, so it should not shrink by much.
CROP_MARGIN = 256 / 224
CPU = torch.device("cpu")


class Batches:
    """Augmented training batches: (images_nchw float32, normalised as `preprocessing` says, labels), on the device.

    The images stay uint8 on the CPU, where even a large set fits; a batch is moved to the device before it is augmented.
    labels: int64 (n,), or with mixup, cutmix or soft labels float32 (n, n_classes). soft_labels: of each image and of its
    mirror image, (2, n_images, n_classes).

    With several processes, each gets its share of every batch, cropped, shifted, mirrored and cut out exactly as in a single
    process; only the random numbers of torchvision's transforms depend on the process.
    """

    def __init__(
        self, images: ImageSet, recipe: TorchRecipe, preprocessing: Preprocessing, device: torch.device = CPU, ranks: Ranks = ALONE,
        soft_labels: Float32Array | None = None,
    ) -> None:  # fmt: skip
        images_u8 = images.images_u8
        largest = round(recipe.image_size * CROP_MARGIN)
        if min(images.image_height, images.image_width) > largest:
            images_u8 = fit_u8(images_u8, largest)
        # NHWC memory seen as NCHW is channels_last, the layout that CPUs and tensor cores convolve fastest
        self.images_u8 = torch.from_numpy(np.ascontiguousarray(images_u8)).permute(0, 3, 1, 2)
        self.labels = torch.from_numpy(images.labels)
        self.soft_labels = None if soft_labels is None else torch.from_numpy(soft_labels)
        self.recipe = recipe
        self.device = device
        self.ranks = ranks
        self.mean = 255 * torch.tensor(preprocessing.mean, device=device).view(3, 1, 1)
        self.std = 255 * torch.tensor(preprocessing.std, device=device).view(3, 1, 1)
        self.mix = _mix(recipe, images.n_classes)
        self.operations, self.erasing = _per_image_operations(recipe)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return n_batches(len(self.labels), self.recipe.batch_size)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch `number`, from 0; everything random in them is derived from the seed and this number."""
        seed, size = epoch_seed(self.recipe.seed, number), self.recipe.size_in(number)
        self._random = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed + self.ranks.rank)  # what torchvision's transforms and dropout draw from
        for chosen in epoch_batches(len(self.labels), self.recipe.batch_size, np.random.default_rng(seed)):
            mine = self.ranks.share(len(chosen))
            indices = torch.from_numpy(chosen[mine])
            images_u8 = self.images_u8[indices]
            if self.operations is not None:
                images_u8 = per_image(self.operations, images_u8)
            mirrored = (torch.rand(len(chosen), generator=self._random) < 0.5) & self.recipe.horizontal_flip
            images_nchw = self._augmented(images_u8.to(self.device), size, mirrored, mine)
            labels = self.labels[indices] if self.soft_labels is None else self.soft_labels[mirrored[mine].long(), indices]
            labels = labels.to(self.device)
            if self.mix is not None:
                images_nchw, labels = self.mix(images_nchw, labels)
            yield images_nchw.contiguous(memory_format=torch.channels_last), labels

    def _augmented(self, images_u8: Tensor, size: int, mirrored: Tensor, mine: slice) -> Tensor:
        """The slice `mine` of a batch, augmented; mirrored: of the whole batch, for which all random numbers are drawn."""
        recipe, n_batch = self.recipe, len(mirrored)
        height, width = images_u8.shape[2:]
        boxes = random_boxes(n_batch, height, width, recipe.min_crop_area, self._random)
        if recipe.shift:
            boxes = shifted(boxes, recipe.shift * width, recipe.shift * height, self._random)
        images_nchw = crop_and_flip(images_u8, boxes[mine], mirrored[mine], size)  # (n, 3, size, size)
        images_nchw = images_nchw.sub_(self.mean).div_(self.std)
        if recipe.cutout:
            images_nchw = cutout(images_nchw, round(recipe.cutout * size), self._random, n_batch, mine)
        return per_image(self.erasing, images_nchw) if self.erasing is not None else images_nchw


def _mix(recipe: TorchRecipe, n_classes: int) -> Any:
    """MixUp, CutMix, a random choice between both, or None."""
    from torchvision.transforms import v2

    steps: list[Any] = []
    if recipe.mixup:
        steps.append(v2.MixUp(alpha=recipe.mixup, num_classes=n_classes))
    if recipe.cutmix:
        steps.append(v2.CutMix(alpha=recipe.cutmix, num_classes=n_classes))
    return v2.RandomChoice(steps) if len(steps) > 1 else steps[0] if steps else None


def _per_image_operations(recipe: TorchRecipe) -> tuple[Any, Any]:
    """The transforms of one uint8 image before the crop, and of one normalised image after it; None for none."""
    from torchvision.transforms import v2

    operations: list[Any] = []
    if recipe.randaugment:
        operations.append(v2.RandAugment())
    if recipe.trivialaugment:
        operations.append(v2.TrivialAugmentWide())
    erasing = v2.RandomErasing(p=recipe.random_erasing) if recipe.random_erasing else None
    return (v2.Compose(operations) if operations else None), erasing
