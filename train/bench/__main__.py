"""How much faster our training steps are than a plain notebook loop's: both timed in turns, in one process per framework.

python -m train.bench                         # both frameworks by their default recipes, on bundled images
python -m train.bench --framework torch --seconds 120
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from core.cli import Parser, add_run_flag
from core.errors import UserError

MOST = 100_000
FRAMEWORKS = ("torch", "tensorflow")


def main(arguments: Sequence[str]) -> None:
    """Time both loops, print the table, write a run folder."""
    options = _parser().parse_args(arguments)
    for name, least in {"seconds": 1, "rounds": 2, "workers": 0, "image_size": 8, "batch_size": 4}.items():
        value = getattr(options, name)
        if value is not None and not least <= value < MOST:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least} and below {MOST}, not {value}")
    from train.bench.report import run_bench

    frameworks = FRAMEWORKS if options.framework == "both" else (options.framework,)
    asked = {name: getattr(options, name) for name in ("seconds", "rounds", "image_size", "batch_size", "device", "workers")}
    run_bench(frameworks, asked, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m train.bench",
        description="Time training steps of the default recipes against a plain notebook loop, in turns on this machine. "
        "PyTorch's plain loop: PIL RandomResizedCrop, flip, normalise, a DataLoader, fp32, contiguous, Adam. Keras': its "
        "ImageDataGenerator, which shifts and flips one image at a time in numpy, train_on_batch. Images are the bundled digits.",
    )
    parser.add_argument("--framework", choices=[*FRAMEWORKS, "both"], default="both", help="which to time (default: both)")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="of timed steps per framework (default: 60)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each loop (default: 5)")
    parser.add_argument("--image-size", type=int, metavar="PX", help="side the network sees (default: 224 in PyTorch, 32 in Keras)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="images per step (default: 32 for PyTorch on a CPU, else 256)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to train (default: auto)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes of the plain DataLoader (default: 0)")
    add_run_flag(parser)
    return parser


if __name__ == "__main__":
    from core.cli import run

    run(main)
