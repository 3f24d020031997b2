"""From fp32 contract files to variants beside them, one after the other: find its images, convert, compare, keep."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.console import progress
from core.errors import UserError
from core.files import require_writable
from export.quantize.images import open_for, variant_images
from export.quantize.options import Options
from export.quantize.registry import DEFAULT
from export.quantize.variant import Variant, load_base, make_variant
from export.replacing import require_variant_of
from export.report import Failed, outcome_of

if TYPE_CHECKING:
    from rich.progress import Progress


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
    max_accuracy_loss: float | None = None,
    force: bool = False,
) -> Variant:
    """Write the variant of a contract model, single or ensemble, in another precision, and compare it with its base.

    method: a name of `export.quantize.registry.METHODS`, `int8` or `fp16`; out: the folder for NAME_int8.onnx, that of the model
    if None; data: the data set or folder of its images, the one that its card names if None; data_dir: where CIFAR-10 lies.
    n_images: training images to calibrate on; n_validation_images: validation images to compare on, all if None.
    calibration: `minmax`, `percentile`, `entropy`, or `auto` for the better of the first two; reduce_range: 7-bit weights, None
    for wherever the processor needs them. max_accuracy_loss: layers go back to float32 until the interval of the loss excludes
    more than this fraction; None: none do. force: replace a file of that name even if it is no variant of this model.

    Raises UserError for a model that cannot be converted or whose images are not available; then nothing is kept. What the variant
    lost is in the value, not an error:

    >>> variant = quantize("models/a.onnx", method="fp16")
    >>> variant.target.name, variant.comparison.verdict
    ('a_fp16.onnx', 'no credible difference')
    >>> low, high = variant.comparison.difference_ci95
    """
    options = Options(
        method,
        None if data is None else str(data),
        None if data_dir is None else Path(data_dir),
        n_images,
        n_validation_images,
        calibration,
        reduce_range,
        max_accuracy_loss,
        force,
    )
    with progress("step") as display:
        maker = _Maker(None if out is None else Path(out), options, display)
        maker.require_free(Path(model))
        return maker.make(Path(model))


def quantize_all(models: Sequence[Path], out: Path | None, options: Options) -> list[Variant | Failed]:
    """What became of each model, in order; one that fails, for whatever reason, does not stop the others.

    Which names are free is found out for all of them before the first is converted, which takes minutes.
    """
    with progress("step") as display:
        maker = _Maker(out, options, display)
        looked_at = {path: outcome_of(path, partial(maker.require_free, path)) for path in dict.fromkeys(models)}
        return [refused or _made(maker, path) for path, refused in looked_at.items()]


def _made(maker: _Maker, path: Path) -> Variant | Failed:
    return outcome_of(path, partial(maker.make, path))


class _Maker:
    """Makes variants in one folder, or beside each model, and shows how far it is."""

    def __init__(self, out: Path | None, options: Options, display: Progress) -> None:
        self.out, self.options, self.display = out, options, display
        self.taken: dict[Path, Path] = {}

    def _target(self, path: Path) -> Path:
        return (self.out or path.parent) / f"{path.stem}_{self.options.method}.onnx"

    def require_free(self, path: Path) -> None:
        """UserError if the name of the variant of one model is taken by a file that must stay."""
        require_variant_of(self._target(path), path, self.options.method, force=self.options.force)

    def make(self, path: Path) -> Variant:
        """The variant of one model, whose name is free."""
        options, target = self.options, self._target(path)
        task = self.display.add_task(path.name, total=None, step="reading")
        try:
            base = load_base(path)
            if target in self.taken:
                raise UserError(f"{target} was just made from {self.taken[target]}; make one of them with another --out")
            self.taken[target] = path
            require_writable(target.parent, "--out")
            dataset = open_for(base.card, options.data, options.data_dir)
            images = variant_images(base.card, dataset, options.n_calibration, options.n_validation)

            def report(step: str, total: int, done: int) -> None:
                self.display.update(task, step=step, total=total, completed=done)

            return make_variant(base, target, images, options, report)
        finally:
            self.display.remove_task(task)
