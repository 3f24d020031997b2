"""Make INT8 and float16 variants of contract models, single or ensemble, and say what they cost in accuracy.

python -m export.quantize models/resnet18_cifar10_torch.onnx --to int8
python -m export.quantize models/*.onnx --to fp16
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli import Parser, add_run_flag, fraction, points, positive
from core.console import print_lines
from export.quantize.options import CALIBRATIONS, Options
from export.quantize.registry import METHODS

if TYPE_CHECKING:
    from export.quantize.variant import Variant

DROPPED = 3  # the status of a gate that fails, as in the benchmark
REDUCE_RANGE = {"auto": None, "on": True, "off": False}


def main(arguments: Sequence[str]) -> int:
    """Make the variants, print how they compare, keep it as a run; 1 if a file failed, 3 if a gate did."""
    given = parser().parse_args(arguments)
    options = Options(
        given.to,
        given.data,
        given.data_dir,
        given.images,
        given.validation_images,
        given.calibration,
        REDUCE_RANGE[given.reduce_range],
        given.max_accuracy_loss,
        given.force,
    )
    from core.files import final_run_folder, run_folder
    from export.quantize import report
    from export.quantize.pipeline import quantize_all
    from export.quantize.variant import Variant
    from export.report import print_failures

    with run_folder("quantize", given.results_dir, "--results-dir") as partial:
        outcomes = quantize_all(given.models, given.out, options)
        variants = [outcome for outcome in outcomes if isinstance(outcome, Variant)]
        if variants:
            notes = list(dict.fromkeys(note for variant in variants for note in variant.notes))
            report.fill_run(partial, outcomes, arguments, notes)
            report.print_report(variants, notes, final_run_folder(partial))
    if print_failures(outcomes):
        return 1
    return DROPPED if _gate_fails(variants, given.max_accuracy_drop) else 0


def _gate_fails(variants: Sequence[Variant], limit_points: float | None) -> bool:
    """Whether a variant lost more than `limit_points` percentage points of accuracy; says which."""
    if limit_points is None:
        return False
    fallen = [one for one in variants if -100 * one.comparison.counts.accuracy_difference > limit_points + 1e-9]
    for one in fallen:
        points = -100 * one.comparison.counts.accuracy_difference
        print_lines([f"gate failed: {one.target.stem} lost {points:.2f} points, more than --max-accuracy-drop {limit_points:g}"])
    return bool(fallen)


def parser() -> argparse.ArgumentParser:
    """The command's options; the methods are those of the registry."""
    kinds = ", or ".join(f"NAME_{name}.onnx, {method.help}" for name, method in METHODS.items())
    parser = Parser(
        prog="python -m export.quantize",
        description=f"Write variants of contract models beside them: {kinds}. Only the networks change; preprocessing, softmax "
        "and averaging stay as they are. Each variant is compared with its base on validation images.",
        epilog="Every command also takes --traceback, which shows the cause of an error.",
    )
    add = parser.add_argument
    add("models", nargs="+", type=Path, metavar="MODEL.onnx", help="fp32 contract models, single or ensemble")
    add("--to", choices=list(METHODS), required=True, help="precision of the variants")
    add("--data", metavar="NAME|PATH", help="data set (default: the one the model's card names; a folder must be given)")
    add("--data-dir", type=Path, metavar="DIR", help="where CIFAR-10 lies (default: $CIFAR10_DIR, then data/)")
    add("--images", type=positive, default=Options.n_calibration, metavar="N",
        help="training images to calibrate on (default: 256)")  # fmt: skip
    add("--validation-images", type=positive, metavar="N", help="validation images to compare on (default: all)")
    add(
        "--calibration",
        choices=["auto", *CALIBRATIONS],
        default="auto",
        help="how ranges are found (default: the better of minmax and percentile)",
    )
    add("--reduce-range", choices=list(REDUCE_RANGE), default="auto", help="7-bit weights (default: where the CPU lacks VNNI)")
    add("--max-accuracy-loss", type=fraction, metavar="L",
        help="put the layers that lose most back to float32, until validation images exclude a larger loss of accuracy at 95 %%; "
        "0.005 for half a point")  # fmt: skip
    add("--max-accuracy-drop", type=points, metavar="POINTS", help="end with status 3 if top-1 falls by more points than this")
    add("--out", type=Path, metavar="DIR", help="where variants go (default: beside each model)")
    add("--force", action="store_true", help="replace a file that is no variant of the same model")
    add_run_flag(parser, "--results-dir")
    return parser


if __name__ == "__main__":
    from core.cli import run

    run(main)
