"""Random crops and flips of whole batches, a different one for every image, in one resampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

ASPECTS = (3 / 4, 4 / 3)  # widths over heights, as in Szegedy et al. 2015 and torchvision's RandomResizedCrop
TRIES = 10


def random_boxes(n: int, height: int, width: int, min_area: float, generator: torch.Generator) -> Tensor:
    """Random crops (left, top, width, height) in pixels, (n, 4), of an image of `height` and `width`.

    Distributed as in torchvision's RandomResizedCrop: area uniform in [min_area, 1], log of the aspect uniform, ten tries to fit
    into the image, then the largest centre crop whose aspect is allowed.
    """
    area = height * width * torch.empty(TRIES, n).uniform_(min_area, 1, generator=generator)
    aspect = torch.empty(TRIES, n).uniform_(math.log(ASPECTS[0]), math.log(ASPECTS[1]), generator=generator).exp()
    widths, heights = (area * aspect).sqrt(), (area / aspect).sqrt()
    fits = (widths <= width) & (heights <= height)
    first = fits.int().argmax(dim=0, keepdim=True)  # the first that fits; row 0 if none does, replaced below
    none_fits = ~fits.any(dim=0)
    box_width = torch.where(none_fits, min(width, height * ASPECTS[1]), widths.gather(0, first)[0])
    box_height = torch.where(none_fits, min(height, width / ASPECTS[0]), heights.gather(0, first)[0])
    where = torch.rand(2, n, generator=generator)
    where[:, none_fits] = 0.5
    left, top = where[0] * (width - box_width), where[1] * (height - box_height)
    return torch.stack([left, top, box_width, box_height], dim=1)


def shifted(boxes: Tensor, most_x: float, most_y: float, generator: torch.Generator) -> Tensor:
    """`boxes` moved by whole pixels, uniform up to `most_x` and `most_y` in both directions; they may leave the image."""
    most = torch.tensor([most_x, most_y])
    offsets = ((2 * torch.rand(len(boxes), 2, generator=generator) - 1) * (most + 0.5)).round().clamp(-most, most)
    return torch.cat([boxes[:, :2] + offsets, boxes[:, 2:]], dim=1)


def cutout(
    images_nchw: Tensor, side: int, generator: torch.Generator, n_batch: int | None = None, mine: slice = slice(None)
) -> Tensor:
    """Set a square of `side` pixels in each image to 0, in place; centred on a random pixel, it may lie partly outside.

    The images may be the slice `mine` of a batch of `n_batch`: each gets the same square as in the whole batch.
    DeVries and Taylor 2017; 0 is the mean grey of normalised images.
    """
    n, _, height, width = images_nchw.shape

    def covered(length: int) -> Tensor:
        first = (torch.rand(n_batch or n, generator=generator)[mine] * length).floor() - side // 2
        distance = torch.arange(length) - first.unsqueeze(1)
        return ((distance >= 0) & (distance < side)).to(images_nchw.device)  # (n, length)

    hole = covered(height)[:, None, :, None] & covered(width)[:, None, None, :]
    return images_nchw.masked_fill_(hole, 0.0)


def per_image(operation: Callable[[Tensor], Tensor], images_nchw: Tensor) -> Tensor:
    """Apply one of torchvision's transforms to each image by itself: on a batch it would draw one transform for all."""
    return torch.stack([operation(image_chw) for image_chw in images_nchw])


def crop_and_flip(images_u8: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """Each image's box, flipped where `mirrored`, resampled bilinearly to `size` × `size`; reflected beyond the image's border.

    images_u8: uint8 (n, 3, height, width); boxes: as `random_boxes` gives them; mirrored: bool (n,).
    Returns float32 (n, 3, size, size), in the pixels' own units 0 to 255.
    """
    height, width = images_u8.shape[2:]
    left, top, box_width, box_height = boxes.to(images_u8.device).unbind(dim=1)
    sign = 1 - 2 * mirrored.to(images_u8.device).float()
    # affine_grid's coordinates run from -1 to 1 between the outer edges of the image: x_in = scale · x_out + shift
    theta = torch.zeros(len(boxes), 2, 3, device=images_u8.device)
    theta[:, 0, 0] = sign * box_width / width
    theta[:, 0, 2] = (2 * left + box_width) / width - 1
    theta[:, 1, 1] = box_height / height
    theta[:, 1, 2] = (2 * top + box_height) / height - 1
    grid = F.affine_grid(theta, [len(boxes), 3, size, size], align_corners=False)
    return F.grid_sample(images_u8.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
