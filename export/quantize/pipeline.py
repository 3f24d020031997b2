"""From fp32 contract files to variants beside them, one after the other: find its images, convert, compare, keep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.console import progress
from core.errors import UserError
from export.pipeline import require_writable
from export.quantize.images import open_for, variant_images
from export.quantize.options import Options
from export.quantize.registry import DEFAULT, METHODS
from export.quantize.variant import Report, Variant, load_base, make_variant
from export.report import Failed, outcome_of


def quantize(
    model: str | Path,
    *,
    method: str = DEFAULT,
    out: str | Path | None = None,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    n_images: int = Options.n_calibration,
    n_validation_images: int | None = None,
    calibration: str = Options.calibration,
    reduce_range: bool | None = None,
) -> Variant:
    """Write the variant of a contract model, single or ensemble, in another precision, and compare it with its base.

    method: a name of `export.quantize.registry.METHODS`, `int8` or `fp16`; out: the folder for NAME_int8.onnx, that of the model
    if None; data: the data set or folder of its images, the one that its card names if None; data_dir: where CIFAR-10 lies.
    n_images: training images to calibrate on; n_validation_images: validation images to compare on, all if None.
    calibration: `minmax`, `percentile`, `entropy`, or `auto` for the better of the first two; reduce_range: 7-bit weights, None
    for wherever the processor needs them.

    Raises UserError for a model that cannot be converted or whose images cannot be had; then nothing is kept. What the variant
    lost is in the value, not an error:

        variant = quantize("models/resnet18_digits_torch.onnx", method="int8")
        variant.target, variant.comparison.verdict, variant.comparison.difference_ci95
    """
    options = Options(
        method,
        None if data is None else str(data),
        None if data_dir is None else Path(data_dir),
        n_images,
        n_validation_images,
        calibration,
        reduce_range,
    )
    (made,) = _make([Path(model)], None if out is None else Path(out), options, catch=False)
    assert isinstance(made, Variant)
    return made


def quantize_all(models: Sequence[Path], out: Path | None, options: Options) -> tuple[list[Variant | Failed], list[str]]:
    """What became of each model, in order, and notes; one that fails, for whatever reason, does not stop the others."""
    outcomes = _make(list(dict.fromkeys(models)), out, options, catch=True)
    notes = [note for outcome in outcomes if isinstance(outcome, Variant) for note in outcome.notes]
    return outcomes, list(dict.fromkeys(notes))


def _make(models: Sequence[Path], out: Path | None, options: Options, *, catch: bool) -> list[Variant | Failed]:
    """A variant of each model; a failure is an outcome, or where it is not to be caught an exception."""
    outcomes: list[Variant | Failed] = []
    taken: dict[Path, Path] = {}
    with progress("step") as display:
        for path in models:
            task = display.add_task(path.name, total=None, step="reading")

            def report(step: str, total: int, done: int, task: object = task) -> None:
                display.update(task, step=step, total=total, completed=done)  # type: ignore[arg-type]

            def work(path: Path = path, report: Report = report) -> Variant:
                return _make_one(path, out or path.parent, options, taken, report)

            outcomes.append(outcome_of(path, work) if catch else work())
            display.remove_task(task)
    return outcomes


def _make_one(path: Path, out: Path, options: Options, taken: dict[Path, Path], report: Report) -> Variant:
    base = load_base(path)
    target = out / f"{path.stem}_{options.method}.onnx"
    if target in taken:
        raise UserError(f"{target} was just made from {taken[target]}; make one of them with another --out")
    taken[target] = path
    require_writable(out)
    dataset = open_for(base.card, options.data, options.data_dir)
    images = variant_images(base.card, dataset, options.n_calibration, options.n_validation)
    return make_variant(base, target, images, options, report)
