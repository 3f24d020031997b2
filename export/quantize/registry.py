"""The methods of quantisation by name, the one list of them; nothing slow is imported before one is used.

A new method is a file beside this one that offers what `export.quantize.variant.Method` says, and an entry here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """What is known of a method without importing it.

    help: a few words for `--help`; module: its file, imported on first use; calibrates: whether it looks at training images;
    puts_back: whether single layers of its networks can go back to float32 (`export.quantize.mixed`); note: for users who make
    such a file.
    """

    help: str
    module: str
    calibrates: bool = False
    puts_back: bool = False
    note: str = ""


METHODS = {
    "int8": Entry("calibrated on training images", "export.quantize.int8", calibrates=True, puts_back=True),
    "fp16": Entry(
        "for GPUs",
        "export.quantize.fp16",
        note="fp16 files are for GPUs: a CPU converts back and forth and is slower than in fp32",
    ),
}
DEFAULT = "int8"
