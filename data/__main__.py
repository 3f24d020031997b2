"""`python -m data show NAME`: look at a data set before training on it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.cli import Parser, run

EPILOG = """examples:
  python -m data show digits
  python -m data show cifar10 --data-dir ~/datasets
  python -m data show path/to/my/images    (holds train/<class>/*.jpg and test/<class>/*.jpg)"""


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and do what it says."""
    options = _parser().parse_args(arguments)
    from data.catalog import open_dataset
    from data.show import show

    folder = show(open_dataset(options.name, options.data_dir), options.out, options.split_seed)
    print(f"contact sheet and tables: {folder}")


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
    show.add_argument("name", metavar="NAME", help="cifar10, digits, or the path of a folder of images")
    show.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies or is downloaded to (default: $CIFAR10_DIR, or data/)")
    show.add_argument("--out", type=Path, help="folder to write to (default: results/<UTC time>-data-<name>)")
    show.add_argument("--split-seed", type=int, default=0, help="which images are validation (default: 0)")
    return parser


if __name__ == "__main__":
    run(main)
