"""One variant from its base to its checked file: cut out the networks, convert them, put them back, compare, save."""

from __future__ import annotations

import dataclasses
import importlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from core.console import readable
from core.environment import package_versions
from core.errors import UserError
from export.quantize.images import Batch, VariantImages
from export.quantize.judge import Comparison, compare
from export.quantize.mixed import LayerLoss, layer_losses, put_back, require_enough_images
from export.quantize.options import Options
from export.quantize.registry import METHODS
from export.replacing import require_variant_of
from models.graph.contract import IMAGES, IR_VERSION, at_contract_opset, load_model, save_model
from models.graph.dead_taps import without_dead_taps
from models.graph.external_data import sha256_of_model, size_bytes
from models.graph.parts import cut_core, cut_prefix, require_parts, require_versions, with_core
from models.parity import check_batches
from models.runtimes.onnx_runtime import open_graph, session

if TYPE_CHECKING:
    from onnx import ModelProto

    from core.records import Float32Array
    from models.card import ModelCard

CALIBRATION_BATCH = 8  # of 224×224 images: all activations of a ResNet18 are then about 0.2 GB
BATCH_TOLERANCE = 0.05  # one activation that rounds the other way moves a logit by a step of 1/256 of its range

# called with a step, the number of its images, and how many of them are done
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Variant:
    """One file that was written, and how it compares with its base.

    source, target: the two files; base: the card of the first; precision: the method's name; calibration: how ranges were
    found, "" if none are; divergences: of each way of calibration tried, in nats; sizes in MB (10⁶ bytes); float_layers:
    those that went back to float32; layer_losses: what each quantised layer costs, if a largest loss was given; notes:
    what a person should know of its images and its making.
    """

    source: Path
    target: Path
    base: ModelCard
    precision: str
    calibration: str
    n_calibration_images: int
    divergences: dict[str, float]
    comparison: Comparison
    base_size_mb: float
    size_mb: float
    elapsed_s: float
    notes: tuple[str, ...] = ()
    float_layers: tuple[str, ...] = ()
    layer_losses: tuple[LayerLoss, ...] = ()


@dataclass(frozen=True)
class Base:
    """A contract model to make variants of."""

    path: Path
    model: ModelProto
    card: ModelCard


def load_base(path: Path) -> Base:
    """The fp32 contract model of `path`; UserError if it is not one, is quantised already, or cannot be taken apart."""
    model, card = load_model(path)
    quantised = any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)
    if card.precision != "fp32" or quantised:
        raise UserError(f"{path} is {card.precision} already; make variants from its fp32 file")
    model = at_contract_opset(model, path)
    require_parts(model, path)
    return Base(path, model, card)


@dataclass(frozen=True)
class Task:
    """What a method is given: the model, images, options, and the callback for progress."""

    base: Base
    images: VariantImages
    options: Options
    report: Report

    def core(self) -> ModelProto:
        """The networks alone, in float32, without convolution taps that only ever meet padding; the method may change it."""
        return without_dead_taps(cut_core(self.base.model))

    def calibration_batches(self) -> list[Batch]:
        """The networks' inputs for the training images, at most `CALIBRATION_BATCH` at a time, made by the graph's own prefix."""
        return _preprocessed(self.base.model, self.images)

    def advance(self, step: str) -> Callable[[], None]:
        """Report that `step` begins; call the returned function after each calibration batch."""
        done, total = 0, len(self.images.calibration_u8)
        self.report(step, total, 0)

        def advance() -> None:
            nonlocal done
            done = min(done + CALIBRATION_BATCH, total)
            self.report(step, total, done)

        return advance


class Method(Protocol):
    """What the module of a method must define; `export.quantize.registry` lists them."""

    def cores(self, task: Task) -> dict[str, ModelProto]:
        """The networks in the method's precision, between the same float32 inputs and outputs, by candidate name.

        Of several, such as one per way of calibration, the best is kept; a single one is called "". UserError
        if the networks cannot be converted.
        """

    def recipe(self, task: Task, kept: str) -> dict[str, Any]:
        """How the candidate `kept` was made, for the card, besides its images."""

    def notes(self, options: Options) -> list[str]:
        """What a person should know of these options on this machine."""


class PutsBack(Protocol):
    """What a method must also define if its entry says `puts_back`."""

    def exact_core(self, task: Task) -> ModelProto:
        """The float32 networks from which `cores` are made, with the same names of layers and weights."""


def method_of(name: str) -> Method:
    """The file of a method, imported."""
    return cast("Method", importlib.import_module(METHODS[name].module))


def make_variant(base: Base, target: Path, images: VariantImages, options: Options, report: Report) -> Variant:
    """Write the variant of `base` to `target` and return how it compares with it on the validation images.

    Of several candidates the one whose probabilities diverge least from the base's is kept: accuracy on a few thousand images
    cannot tell them apart, this uses every image in full. Raises UserError, and leaves `target` as it was, where the graph
    cannot be converted or does not run at every batch size, or where a file that is no variant of `base` is there by then.
    """
    started = time.perf_counter()
    task, method = Task(base, images, options, report), method_of(options.method)
    reference = _logits(base.model, images, "base", report)
    if options.max_accuracy_loss is not None:
        require_enough_images(len(images.validation), options.max_accuracy_loss)

    def judge(core: ModelProto, name: str) -> tuple[ModelProto, Comparison]:
        model = _joined(base, core)
        logits = _logits(model, images, f"{options.method} {name}".strip(), report)
        return model, compare(reference, logits, images.validation)

    cores = method.cores(task)
    judged = {name: judge(core, name) for name, core in cores.items()}
    best = min(judged, key=lambda name: judged[name][1].divergence)
    model, comparison = judged[best]
    losses: list[LayerLoss] = []
    float_layers: tuple[str, ...] = ()
    if options.max_accuracy_loss is not None:
        core = cast("PutsBack", method).exact_core(task)
        losses = _layer_losses(task, core, cores[best])
        mixed, comparison, float_layers = put_back(
            core, cores[best], losses, lambda one: judge(one, "mixed"), comparison, options.max_accuracy_loss
        )
        model = mixed or model
    divergences = {name: found.divergence for name, (_, found) in judged.items()}
    n_calibration = len(images.calibration_u8) if METHODS[options.method].calibrates else 0
    made = method.recipe(task, best) | ({"float_layers": list(float_layers)} if options.max_accuracy_loss is not None else {})
    recipe = _recipe(task, made, best, divergences, n_calibration)
    card = _card(base.card, readable(target.stem), options.method, recipe, comparison)
    save_model(model, card, target, allowed=lambda: require_variant_of(target, base.path, options.method, force=options.force))
    sizes = size_bytes(base.path) / 1e6, target.stat().st_size / 1e6
    elapsed_s = time.perf_counter() - started
    notes = tuple(note for note in (METHODS[options.method].note, *images.notes, *method.notes(options)) if note)
    return Variant(
        base.path,
        target,
        base.card,
        options.method,
        best,
        n_calibration,
        divergences,
        comparison,
        *sizes,
        elapsed_s,
        notes,
        float_layers,
        tuple(losses),
    )


def _layer_losses(task: Task, core: ModelProto, converted: ModelProto) -> list[LayerLoss]:
    done = 0

    def advance(n_layers: int) -> None:
        nonlocal done
        done += 1
        task.report("layer by layer in float32", n_layers, done)

    return layer_losses(core, converted, task.calibration_batches(), advance)


def _preprocessed(model: ModelProto, images: VariantImages) -> list[Batch]:
    """The networks' inputs for the calibration images, in batches, made by the graph's own prefix."""
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
    check_batches(opened, validation.images_u8, validation.n_classes, logits=BATCH_TOLERANCE, probabilities=math.inf)
    done = 0
    report(f"predicting with {what}", len(validation), 0)

    def advance(n_images: int) -> None:
        nonlocal done
        done += n_images
        report(f"predicting with {what}", len(validation), done)

    return opened.predicted(validation.images_u8, validation.n_classes, advance).outputs.logits


def _recipe(task: Task, made: dict[str, Any], kept: str, divergences: dict[str, float], n_calibration: int) -> dict[str, Any]:
    """How the variant was made: what its card adds to the recipe of its base."""
    base, images = task.base, task.images
    facts: dict[str, Any] = {
        "precision": task.options.method,
        "base": base.path.stem,
        "base_sha256": sha256_of_model(base.path),
        "dead_taps_removed": True,
        **made,
    }
    if n_calibration:
        facts |= {
            "calibration": kept,
            "calibration_divergences": divergences,
            "calibration_split": "train",
            "calibration_split_sha256": images.train_sha256,
            "calibration_images": n_calibration,
        }
    return facts | {"compared_split": images.validation.split, "compared_split_sha256": images.validation.sha256}


def _card(base: ModelCard, name: str, to: str, recipe: dict[str, Any], comparison: Comparison) -> ModelCard:
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
