"""File names of native weights, and of the ONNX files made from them."""

from __future__ import annotations

from pathlib import Path

BACKENDS = {".pth": "torch", ".keras": "tensorflow"}  # by the ending of a weights file
ONNX_ENDINGS = {".pth": "_torch.onnx", ".keras": "_tf.onnx"}


def onnx_path(weights: Path, folder: Path) -> Path:
    """Where the ONNX file of a weights file goes: `resnet18_digits.pth` becomes `resnet18_digits_torch.onnx` in `folder`."""
    return folder / (weights.stem + ONNX_ENDINGS[weights.suffix])


def weights_beside(onnx: Path) -> Path | None:
    """The weights file in the folder of an ONNX file from which an export would make that name; None if there is none."""
    for suffix, ending in ONNX_ENDINGS.items():
        weights = onnx.with_name(onnx.name.removesuffix(ending) + suffix)
        if onnx.name.endswith(ending) and weights.is_file():
            return weights
    return None
