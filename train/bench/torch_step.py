"""Times the PyTorch trainer's step against a plain notebook loop; `python -m train.bench` calls this."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from core.records import ImageSet
    from train.bench.worker import TimedLoop
    from train.recipes import TorchRecipe

CPU_BATCH = 32  # with 256 at 224 px the plain loop would take half a minute per step


def main(_arguments: Sequence[str]) -> None:
    """The options come as JSON on stdin."""
    job = json.load(sys.stdin)
    from train.bench import worker as bench_worker
    from train.images import training_data
    from train.recipes import TorchRecipe
    from train.torch.optimisation import precision_of
    from train.torch.trainer import choose_device

    device = choose_device(job["device"])
    batch_size = job["batch_size"] or (CPU_BATCH if device.type == "cpu" else TorchRecipe().batch_size)
    image_size = job["image_size"] or TorchRecipe().image_size
    recipe = TorchRecipe(data="digits", weights="none", image_size=image_size, batch_size=batch_size, epochs=10_000)
    images = training_data(recipe).train
    facts = {"device": device.type, "precision": precision_of(recipe, device), "image_size": image_size, "batch_size": batch_size}
    loops = {"plain": _plain(images, recipe, device, job["workers"]), "ours": _ours(images, recipe, device)}
    bench_worker.main(job, facts, loops)


def _plain(images: ImageSet, recipe: TorchRecipe, device: torch.device, n_workers: int) -> TimedLoop:
    """A notebook's loop: PIL transforms one image at a time, fp32, contiguous tensors, Adam."""
    import torch
    import torchvision
    from PIL import Image
    from torch.nn import functional as F
    from torchvision import transforms

    from models.torch.network import IMAGENET_MEAN, IMAGENET_STD
    from train.bench.worker import timed_steps

    transform = transforms.Compose([
        transforms.RandomResizedCrop(recipe.image_size), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ])  # fmt: skip

    class Pictures(torch.utils.data.Dataset):  # type: ignore[misc]  # torch is not followed by mypy
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return transform(Image.fromarray(images.images_u8[index])), int(images.labels[index])

    model = torchvision.models.resnet18(weights=None, num_classes=images.n_classes).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.DEFAULT_LR)
    loader = torch.utils.data.DataLoader(Pictures(), recipe.batch_size, shuffle=True, num_workers=n_workers, drop_last=True)

    def endless() -> Iterator[Any]:
        while True:
            yield from loader

    def step(batch: Any) -> int:
        images_nchw, labels = (part.to(device) for part in batch)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images_nchw), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        return len(labels)

    return timed_steps(endless(), step)


def _ours(images: ImageSet, recipe: TorchRecipe, device: torch.device) -> TimedLoop:
    """The training step of `train.torch.trainer`."""
    from models.torch.network import preprocessing_of
    from train.bench.worker import timed_steps
    from train.torch.batches import Batches
    from train.torch.optimisation import precision_of
    from train.torch.state import State

    batches = Batches(images, recipe, preprocessing_of(recipe.arch, recipe.image_size), device)
    state = State(recipe, images.n_classes, precision_of(recipe, device), len(batches), device)

    def endless() -> Iterator[Any]:
        for number in itertools.count():
            yield from batches.epoch(number)

    def step(batch: Any) -> int:
        state.step(*batch)
        state.follow()
        return len(batch[1])

    return timed_steps(endless(), step)


if __name__ == "__main__":
    from core.cli import run

    run(main)
