"""Where the residual blocks of a network end: the normalisations behind which a block's change meets its input.

Twin of `models.tf.residual`.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.regnet import ResBottleneckBlock
from torchvision.models.resnet import BasicBlock, Bottleneck

ALWAYS_ADDED = (BasicBlock, Bottleneck, ResBottleneckBlock)  # to the input or its projection
# Of torchvision's other blocks, and of our own, the attribute that says whether their input is added, unprojected.
SAYS_WHETHER = ("use_res_connect", "apply_residual", "is_residual")
PROJECTIONS = ("downsample", "proj")  # of the input, in the blocks of `ALWAYS_ADDED`


def residual_blocks(model: nn.Module) -> list[tuple[nn.Module, Any]]:
    """Every residual block of `model` with the batch normalisation that its change passes last, where that has a trained scale.

    Blocks whose input is not added to what they compute are no residual blocks, for they would give nothing but zeros.
    """
    found = []
    for block in model.modules():
        if isinstance(block, ALWAYS_ADDED) or any(getattr(block, name, False) is True for name in SAYS_WHETHER):
            own = [(name, part) for name, part in block.named_modules() if isinstance(part, nn.BatchNorm2d)]
            of_change = [part for name, part in own if not name.startswith(PROJECTIONS)]
            if of_change and of_change[-1].affine and of_change[-1].weight.requires_grad:
                found.append((block, of_change[-1]))
    return found
