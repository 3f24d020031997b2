"""File names of native weights and of the ONNX files made from them, and how large a network a file can hold."""

from __future__ import annotations

from pathlib import Path

from core.errors import UserError

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


class Allowance:
    """How many bytes the weights of a network may take that is built for the file `path`, before any of them are read.

    A few hundred bytes can name a network of gigabytes, and building it fills them. The weights lie in the file itself, as a
    rule uncompressed, so they can hardly take several times its size; below `FREE_BYTES` nobody counts.

    refusal: what was said when too much was asked for, for whom a library wraps that into an exception of its own.
    """

    FREE_BYTES = 2**28
    MOST_PER_BYTE = 4

    def __init__(self, path: Path) -> None:
        self.path, self.file_bytes, self.taken_bytes = path, path.stat().st_size, 0
        self.refusal: str | None = None

    def take(self, n_bytes: int) -> None:
        """Count weights that are about to be made; UserError if the file cannot hold all that were counted."""
        self.taken_bytes += n_bytes
        if self.taken_bytes > self.FREE_BYTES + self.MOST_PER_BYTE * self.file_bytes:
            self.refusal = (
                f"{self.path} has {self.file_bytes / 1e6:.3f} MB, and the network it claims to be has weights of "
                f"{self.taken_bytes / 1e6:.0f} MB or more; copy it again, with its own card, or train again"
            )
            raise UserError(self.refusal)
