"""Make INT8 and float16 variants of contract models, single or ensemble, and say what they cost in accuracy.

python -m export.quantize models/resnet18_cifar10_torch.onnx --to int8
python -m export.quantize models/*.onnx --to fp16
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli import Parser, add_run_flag, points, positive
from core.errors import UserError

if TYPE_CHECKING:
    from export.quantize.variant import Variant
    from export.report import Failed

CALIBRATION_IMAGES = 256
TRIED = ("minmax", "percentile")  # entropy is slower by far and takes 128 bins: ask for it
METHODS = ("auto", "minmax", "percentile", "entropy")
DROPPED = 3  # the status of a gate that fails, as in the benchmark
CPU_NOTE = "fp16 files are for GPUs: a CPU converts back and forth and is slower than in fp32"


def main(arguments: Sequence[str]) -> int:
    """Make the variants, print how they compare, keep it as a run; 1 where a file failed, 3 where a gate did."""
    options = _parser().parse_args(arguments)
    from core.files import final_run_folder, run_folder
    from export.quantize import report
    from export.quantize.variant import Variant

    outcomes: list[Variant | Failed] = []
    with suppress(_NothingMade), run_folder("quantize", options.results_dir) as partial:
        outcomes, notes = make_all(options)
        variants = [outcome for outcome in outcomes if isinstance(outcome, Variant)]
        if not variants:
            raise _NothingMade
        report.fill_run(partial, outcomes, arguments, notes)
        report.print_report(variants, notes, final_run_folder(partial))
    failed = [outcome for outcome in outcomes if not isinstance(outcome, Variant)]
    for failure in failed:
        print(f"error: {failure}", file=sys.stderr)
    if failed:
        return 1
    return (
        DROPPED if _gate_fails([outcome for outcome in outcomes if isinstance(outcome, Variant)], options.max_accuracy_drop) else 0
    )


def make_all(options: argparse.Namespace) -> tuple[list[Variant | Failed], list[str]]:
    """What became of each model, in order, and notes; one that fails does not stop the others."""
    from core.console import progress
    from export.report import Failed

    outcomes: list[Variant | Failed] = []
    notes: list[str] = [CPU_NOTE] if options.to == "fp16" else []
    taken: dict[Path, Path] = {}
    with progress("step") as display:
        for path in dict.fromkeys(options.models):
            task = display.add_task(path.name, total=None, step="reading")

            def report(step: str, total: int, done: int, task: object = task) -> None:
                display.update(task, step=step, total=total, completed=done)  # type: ignore[arg-type]

            try:
                outcomes.append(_make_one(path, options, taken, notes, report))
            except UserError as error:
                outcomes.append(Failed(path, str(error)))
            except OSError as error:
                outcomes.append(Failed(path, f"{error.strerror or error} ({error.filename})"))
            display.remove_task(task)
    return outcomes, list(dict.fromkeys(notes))


def _make_one(path: Path, options: argparse.Namespace, taken: dict[Path, Path], notes: list[str], report: object) -> Variant:
    from export.pipeline import require_writable
    from export.quantize.images import open_for, variant_images
    from export.quantize.int8 import needs_reduced_range
    from export.quantize.variant import load_base, make_variant

    base = load_base(path)
    target = (options.out or path.parent) / f"{path.stem}_{options.to}.onnx"
    if target in taken:
        raise UserError(f"{target} was just made from {taken[target]}; make one of them with another --out")
    taken[target] = path
    require_writable(target.parent)
    images = variant_images(
        base.card, open_for(base.card, options.data, options.data_dir), options.images, options.validation_images
    )
    notes += images.notes
    methods = TRIED if options.calibration == "auto" else (options.calibration,)
    reduce_range = needs_reduced_range() if options.reduce_range == "auto" else options.reduce_range == "on"
    if reduce_range and options.to == "int8":
        notes.append("weights are kept to 7 bits (--reduce-range): without VNNI, 8-bit products can overflow")
    return make_variant(base, target, options.to, images, methods, reduce_range, report)  # type: ignore[arg-type]


def _gate_fails(variants: Sequence[Variant], limit_points: float | None) -> bool:
    """Whether a variant lost more than `limit_points` percentage points of accuracy; says which."""
    if limit_points is None:
        return False
    fallen = [one for one in variants if -100 * one.comparison.counts.accuracy_difference > limit_points + 1e-9]
    for one in fallen:
        points = -100 * one.comparison.counts.accuracy_difference
        print(f"gate failed: {one.target.stem} lost {points:.2f} points, more than --max-accuracy-drop {limit_points:g}")
    return bool(fallen)


class _NothingMade(Exception):  # noqa: N818  # not an error: it takes the empty run folder away
    pass


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m export.quantize",
        description="Write variants of contract models beside them: NAME_int8.onnx, calibrated on training images, or "
        "NAME_fp16.onnx, for GPUs. Only the networks change; preprocessing, softmax and averaging stay as they are. Each variant "
        "is compared with its base on validation images.",
        epilog="Every command also takes --traceback, which shows the cause of an error.",
    )
    add = parser.add_argument
    add("models", nargs="+", type=Path, metavar="MODEL.onnx", help="fp32 contract models, single or ensemble")
    add("--to", choices=["int8", "fp16"], required=True, help="precision of the variants")
    add("--data", metavar="NAME|PATH", help="data set (default: the one the model's card names; a folder must be given)")
    add("--data-dir", type=Path, metavar="DIR", help="where CIFAR-10 lies (default: $CIFAR10_DIR, then data/)")
    add("--images", type=positive, default=CALIBRATION_IMAGES, metavar="N", help="training images to calibrate on (default: 256)")
    add("--validation-images", type=positive, metavar="N", help="validation images to compare on (default: all)")
    add(
        "--calibration", choices=METHODS, default="auto", help="how ranges are found (default: the better of minmax and percentile)"
    )
    add("--reduce-range", choices=["auto", "on", "off"], default="auto", help="7-bit weights (default: where the CPU lacks VNNI)")
    add("--max-accuracy-drop", type=points, metavar="POINTS", help="end with status 3 where top-1 falls by more points than this")
    add("--out", type=Path, metavar="DIR", help="where variants go (default: beside each model)")
    add_run_flag(parser, "--results-dir")
    return parser


if __name__ == "__main__":
    from core.cli import run

    run(main)
