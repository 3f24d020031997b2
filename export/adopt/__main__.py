"""Adopt image classifiers from elsewhere: wrap each into a file that benchmark, ensemble and quantize take.

python -m export.adopt mine.onnx --data path/to/folder --class-names classes.txt
python -m export.adopt hugging_face_folder/ --data path/to/folder

Preprocessing is read from what lies beside the model, or given by flags, or found by measurement; classes are matched by name.
"""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli import Parser, file_to_write, positive, seed
from core.console import print_error
from core.errors import UserError, one_line
from data import DEFAULT_DATASET
from data.sets import WHAT_DATA_TAKES

if TYPE_CHECKING:
    from export.adopt.pipeline import How


def main(arguments: Sequence[str]) -> int:
    """Adopt each model and print what was found; 1 if one could not be adopted."""
    options = _parser().parse_args(arguments)
    if options.out is not None and len(options.models) > 1:
        raise UserError(f"--out names one file, but there are {len(options.models)} models; leave it out, or name one model")
    if options.out is not None:
        file_to_write(options.out, ".onnx")
    from core.console import progress

    how = _how(options)
    failures = []
    with progress("step") as display:
        bar = display.add_task("adopt", total=len(options.models), step="")
        for path in options.models:
            name = path.name

            def say(step: str, name: str = name) -> None:
                display.update(bar, description=name, step=step)

            failures += _adopt(path, options, how, say)
            display.advance(bar)
    for failure in failures:
        print_error(failure)
    return 1 if failures else 0


def _adopt(path: Path, options: argparse.Namespace, how: How, say: Callable[[str], None]) -> list[str]:
    """Adopt one model and print what was found; returns the errors, one line each."""
    from export.adopt import report
    from export.adopt.pipeline import NotFound, adopt_file

    try:
        one = adopt_file(path, options.out, how, say)
    except UserError as error:
        if isinstance(error, NotFound):
            report.print_search(error.search, path.name)
        message = str(error)
        return [message if str(path) in message else f"{path}: {message}"]
    except (OSError, MemoryError):
        raise
    except Exception as error:  # onnx raises one of many types for an invalid graph
        if options.traceback:
            traceback.print_exception(error)
        return [f"{path} cannot be adopted ({one_line(error, 160)}); export the network again from its framework"]
    if one.search is not None:
        report.print_search(one.search, path.name)
    report.print_adopted(one, options.data)
    return []


def _how(options: argparse.Namespace) -> How:
    from export.adopt.pipeline import How, triple
    from export.adopt.stated import Stated

    stated = Stated(
        options.image_size, triple(options.mean, "--mean"), triple(options.std, "--std"), options.scale, options.resize,
        options.crop_pct, None, options.interpolation, options.channels,
    )  # fmt: skip
    return How(
        options.data, options.data_dir, stated, options.class_names, options.class_map, options.output, options.arch,
        options.images, options.split_seed, options.skip_damaged, options.force,
    )  # fmt: skip


def _number(text: str) -> float:
    """A number, or a fraction such as 1/255 or 1/127.5."""
    try:
        above, _, below = text.replace(" ", "").partition("/")
        return float(Fraction(above) / Fraction(below or "1"))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, nor a fraction such as 1/255") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m export.adopt",
        description="Wrap image classifiers from elsewhere so that everything here works on them: raw uint8 images in, logits and "
        "probabilities of the data's classes out, preprocessing inside. Each is compared with the original on real images.",
    )
    add = parser.add_argument
    add("models", nargs="+", type=Path, metavar="MODEL", help="an .onnx file; a folder of optimum-cli or timm; a .pth with --arch; "
        "a .keras file")  # fmt: skip
    add("--data", default=DEFAULT_DATASET, metavar="DATA", help=f"{WHAT_DATA_TAKES} (default: %(default)s)")
    add("--data-dir", type=Path, metavar="DIR", help="where CIFAR-10 lies (default: $CIFAR10_DIR, then data/)")
    add("--out", type=Path, metavar="FILE", help="file to write, NAME.onnx (default: models/<name>_adopted.onnx)")
    add("--output", metavar="NAME", help="of several outputs, the one that holds the classes")
    add("--arch", metavar="NAME", help="architecture of torchvision whose weights a .pth file holds")
    classes = parser.add_argument_group("classes, matched by name")
    add = classes.add_argument
    add("--class-names", metavar="FILE", help="names of the outputs: one per line, or JSON index → name; 'data': they are the "
        "data's classes in sorted order (default: what lies beside the model; ImageNet-1k for 1000 or 1001)")  # fmt: skip
    add("--class-map", type=Path, metavar="CSV", help="columns model_class (a name, or an index of the outputs) and data_class; "
        "several outputs may mean one class")  # fmt: skip
    pixels = parser.add_argument_group("preprocessing (default: what lies beside the model, else found on training images)")
    add = pixels.add_argument
    add("--image-size", type=positive, metavar="PX", help="side of the square that the network takes, if its graph leaves it open")
    add("--mean", type=_number, nargs="+", metavar="M", help="subtracted from each channel after --scale; one number, or three")
    add("--std", type=_number, nargs="+", metavar="S", help="then divides each channel; one number, or three")
    add("--scale", type=_number, metavar="X", help="multiplies pixels, 0 to 255, first (default: 1/255)")
    add("--channels", choices=["rgb", "bgr"], help="order in which the network takes colours; mean and std are in it too")
    add("--resize", choices=["shortest", "squash"], help="resize the shorter side and cut the centre out, or both sides")
    add("--crop-pct", type=_number, metavar="X", help="side of the crop, as a fraction of the resized side (default: 1)")
    add("--interpolation", choices=["bilinear", "bicubic", "nearest", "lanczos", "box"], help="Pillow's filter (default: bilinear)")
    add("--images", type=positive, default=1000, metavar="N", help="training images that the search uses, at most (default: 1000)")
    add("--split-seed", type=seed, default=0, metavar="N", help="seed of the validation images, which are not used (default: 0)")
    parser.add_argument("--skip-damaged", action="store_true", help="leave out image files that cannot be decoded")
    parser.add_argument("--force", action="store_true", help="replace a file that was made from another model")
    parser.add_argument("--traceback", action="store_true", help="show causes of errors")
    return parser


if __name__ == "__main__":
    from core.cli import run

    run(main)
