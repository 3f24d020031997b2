"""`python -m data show NAME`: look at a data set before training on it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.cli import Parser, add_run_flag, positive, run, seed
from data.reading import MAX_SIDE, RESIZES, Reading
from data.sets import WHAT_DATA_TAKES

EPILOG = """examples:
  python -m data show digits
  python -m data show cifar10 --data-dir ~/datasets
  python -m data show path/to/my/images    (holds train/<class>/*.jpg, test/<class>/*.jpg and perhaps val/<class>/*.jpg)
  python -m data show labels.csv           (columns file, label and perhaps split)"""


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run the command."""
    options = _parser().parse_args(arguments)
    from core.console import print_lines
    from data.catalog import open_dataset
    from data.show import show

    reading = Reading(options.resize, options.skip_damaged, options.max_side)
    dataset = open_dataset(options.name, options.data_dir, reading=reading)
    folder = show(dataset, options.out, options.split_seed, exclude_duplicates="duplicates" in options.exclude)
    print_lines([f"contact sheet and tables: {folder}"])


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m data", description="Data sets: what they hold, and what they look like.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    show = commands.add_parser(
        "show",
        help="print counts, image size and fingerprints; write a contact sheet",
        description="Print images per class and split, image size and fingerprints; write them as CSV with a contact sheet.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    show.add_argument("name", metavar="NAME", help=WHAT_DATA_TAKES)
    show.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies or is downloaded to (default: $CIFAR10_DIR, or data/)")
    add_run_flag(show)
    show.add_argument("--split-seed", type=seed, default=0, help="which images are validation (default: 0)")
    show.add_argument(
        "--resize", choices=RESIZES, default=RESIZES[0], help="how a folder's images are brought to one size (default: shortest)"
    )
    show.add_argument(
        "--max-side",
        type=positive,
        default=MAX_SIDE,
        metavar="PX",
        help=f"largest side that images of differing sizes are resized to ({MAX_SIDE})",
    )
    show.add_argument("--skip-damaged", action="store_true", help="leave out what cannot be decoded; lists it in damaged.csv")
    show.add_argument(
        "--exclude", nargs="+", choices=["duplicates"], default=[], help="leave out test images that are also training images"
    )
    return parser


if __name__ == "__main__":
    run(main)
