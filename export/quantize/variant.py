"""One variant from its base to its checked file: cut out the networks, convert them, put them back, compare, save."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.environment import package_versions
from core.errors import UserError
from export.quantize.fp16 import fp16_core
from export.quantize.images import VariantImages
from export.quantize.int8 import OPERATORS, int8_core, prepared
from export.quantize.judge import Comparison, compare
from models.graph.contract import IMAGES, IR_VERSION, at_contract_opset, load_model, save_model
from models.graph.dead_taps import without_dead_taps
from models.graph.external_data import sha256_of_model, size_bytes
from models.graph.parts import cut_core, cut_prefix, require_parts, require_versions, with_core
from models.parity import check_batches
from models.runtimes.onnx_runtime import open_graph, session

if TYPE_CHECKING:
    from onnx import ModelProto

    from core.records import Float32Array
    from export.quantize.int8 import Batch
    from models.card import ModelCard

Precision = Literal["int8", "fp16"]
CALIBRATION_BATCH = 8  # of 224×224 images: all activations of a ResNet18 are then about 0.2 GB
BATCH_TOLERANCE = 0.05  # one activation that rounds the other way moves a logit by a step of 1/256 of its range

# told a step, the images it will go through, and how many of them are done
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Variant:
    """One file that was written, and how it compares with its base; divergences: of each calibration method tried, in nats."""

    source: Path
    target: Path
    base: ModelCard
    precision: Precision
    calibration: str
    n_calibration_images: int
    divergences: dict[str, float]
    comparison: Comparison
    base_size_mb: float
    size_mb: float
    elapsed_s: float


@dataclass(frozen=True)
class Base:
    """A contract model to make variants of."""

    path: Path
    model: ModelProto
    card: ModelCard


def load_base(path: Path) -> Base:
    """The fp32 contract model of `path`; UserError where it is none, is quantised already, or cannot be taken apart."""
    model, card = load_model(path)
    quantised = any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)
    if card.precision != "fp32" or quantised:
        raise UserError(f"{path} is {card.precision} already; make variants from its fp32 file")
    model = at_contract_opset(model, path)
    require_parts(model, path)
    return Base(path, model, card)


def make_variant(
    base: Base, target: Path, to: Precision, images: VariantImages, methods: Sequence[str], reduce_range: bool, report: Report
) -> Variant:
    """Write the variant of `base` to `target` and return how it compares with it on the validation images.

    methods: ways of calibration; of several, the one whose probabilities diverge least from the base's is kept: accuracy
    on a few thousand images cannot tell them apart, this uses every image in full. Raises UserError, and leaves `target`
    as it was, where the graph cannot be converted or does not run at every batch size.
    """
    started = time.perf_counter()
    reference = _logits(base.model, images, "base", report)
    candidates = (
        _int8(base, images, methods, reduce_range, report)
        if to == "int8"
        else {"": _joined(base, fp16_core(without_dead_taps(cut_core(base.model)), base.path))}
    )
    judged: dict[str, tuple[ModelProto, Comparison]] = {}
    for method, model in candidates.items():
        logits = _logits(model, images, f"{to} {method}".strip(), report)
        judged[method] = (model, compare(reference, logits, images.validation))
    best = min(judged, key=lambda method: judged[method][1].divergence)
    model, comparison = judged[best]
    divergences = {method: found.divergence for method, (_, found) in judged.items()}
    recipe = _recipe(base, to, images, best, divergences, reduce_range)
    save_model(model, _card(base.card, target.stem, to, recipe, comparison), target)
    n_calibration = len(images.calibration_u8) if to == "int8" else 0
    sizes = size_bytes(base.path) / 1e6, target.stat().st_size / 1e6
    elapsed_s = time.perf_counter() - started
    return Variant(base.path, target, base.card, to, best, n_calibration, divergences, comparison, *sizes, elapsed_s)


def _int8(base: Base, images: VariantImages, methods: Sequence[str], reduce_range: bool, report: Report) -> dict[str, ModelProto]:
    """The whole model in INT8, by each of `methods`."""
    batches = _preprocessed(base.model, images)
    core = prepared(without_dead_taps(cut_core(base.model)))
    made = {}
    for method in methods:
        done, total = 0, len(images.calibration_u8)
        report(f"calibrating by {method}", total, 0)

        def advance(method: str = method, total: int = total) -> None:
            nonlocal done
            done = min(done + CALIBRATION_BATCH, total)
            report(f"calibrating by {method}", total, done)

        made[method] = _joined(base, int8_core(core, batches, method, reduce_range=reduce_range, advance=advance))
    return made


def _preprocessed(model: ModelProto, images: VariantImages) -> list[Batch]:
    """What the networks see of the calibration images, in batches, made by the graph's own prefix."""
    prefix = session(cut_prefix(model), "the preprocessing")
    names = [output.name for output in prefix.get_outputs()]
    starts = range(0, len(images.calibration_u8), CALIBRATION_BATCH)
    groups = [images.calibration_u8[start : start + CALIBRATION_BATCH] for start in starts]
    return [dict(zip(names, prefix.run(names, {IMAGES: group}), strict=True)) for group in groups]


def _joined(base: Base, core: ModelProto) -> ModelProto:
    require_versions(core, base.path)
    model = with_core(base.model, core)
    model.ir_version = IR_VERSION
    return model


def _logits(model: ModelProto, images: VariantImages, what: str, report: Report) -> Float32Array:
    """Logits of the validation images, after a check that the graph runs at every batch size."""
    validation = images.validation
    opened = open_graph(model, f"the {what} graph")
    check_batches(opened, validation.images_u8, validation.n_classes, BATCH_TOLERANCE)
    done = 0
    report(f"predicting with {what}", len(validation), 0)

    def advance(n_images: int) -> None:
        nonlocal done
        done += n_images
        report(f"predicting with {what}", len(validation), done)

    return opened.predicted(validation.images_u8, validation.n_classes, advance).outputs.logits


def _recipe(
    base: Base, to: Precision, images: VariantImages, method: str, divergences: dict[str, float], reduce_range: bool
) -> dict[str, Any]:
    """How the variant was made: what its card adds to the recipe of its base."""
    made: dict[str, Any] = {
        "precision": to,
        "base": base.path.stem,
        "base_sha256": sha256_of_model(base.path),
        "dead_taps_removed": True,
    }
    if to == "int8":
        made |= {
            "scheme": "static QDQ, activations uint8 per tensor, weights int8 per channel",
            "operators": list(OPERATORS),
            "reduce_range": reduce_range,
            "calibration": method,
            "calibration_divergences": divergences,
            "calibration_split": "train",
            "calibration_split_sha256": images.train_sha256,
            "calibration_images": len(images.calibration_u8),
        }
    return made | {"compared_split": images.validation.split, "compared_split_sha256": images.validation.sha256}


def _card(base: ModelCard, name: str, to: Precision, recipe: dict[str, Any], comparison: Comparison) -> ModelCard:
    low, high = comparison.difference_ci95
    figures = {
        "variant_base_top1_accuracy": comparison.base_top1_accuracy,
        "variant_top1_accuracy": comparison.top1_accuracy,
        "variant_difference_ci95_low": low,
        "variant_difference_ci95_high": high,
        "variant_mcnemar_p": comparison.mcnemar_p,
        "variant_max_abs_probability_difference": comparison.max_abs_probability_difference,
    }
    versions = {name: version for name, version in package_versions().items() if name.startswith("onnx")}
    return dataclasses.replace(
        base,
        name=name,
        precision=to,
        parity=comparison.parity,
        recipe={**base.recipe, "variant": recipe},
        figures={**base.figures, **figures},
        library_versions={**base.library_versions, **versions},
    )
