"""From member files to one fused file on disk: tune, fuse, check against the members' own outputs, keep."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.console import readable
from core.errors import UserError
from core.files import require_writable
from core.records import Float32Array, Float64Array, ImageSet, UInt8Array
from ensemble import validation
from ensemble.cascade import Cascade, choose_threshold, run_cascade
from ensemble.cascade_graph import fuse_cascade
from ensemble.cascade_report import cascade_figures, cascade_lines
from ensemble.fuse import MAX_ABS_PROBABILITY_DIFFERENCE, LoadedMember, fuse, load_member, load_members, require_fused
from ensemble.options import Options, checked
from ensemble.rules.combination import Combination, combination, combine
from ensemble.rules.fit import TEMPERATURES, combination_nll, tune
from ensemble.rules.registry import DEFAULT, RULES, is_tuned
from ensemble.views import VIEWS, view_logits, view_members
from models.graph.contract import load_model, save_model
from models.parity import check_batches, measure
from models.provenance import require_free
from models.runtimes.onnx_runtime import open_graph
from models.runtimes.opening import predict_files

if TYPE_CHECKING:
    from onnx import ModelProto

    from core.records import UInt8Array
    from models.card import ModelCard, Parity

RANDOM_IMAGES = 16
N_IMAGES = 512  # on which a fused graph is compared with its members, at most


@dataclass(frozen=True)
class Evidence:
    """Images with the logits of each member for them; `tuned_on` is None for seeded noise, which nothing is chosen on.

    note: why noise was used; empty for images.
    """

    images_u8: np.ndarray
    split: str
    member_logits: list[Float32Array]
    tuned_on: ImageSet | None
    note: str = ""


@dataclass(frozen=True)
class Built:
    """A fused file: its path, its card (rule, members with weights and temperatures, figures), the lines to print."""

    path: Path
    card: ModelCard
    lines: tuple[str, ...]


def build(
    members: Sequence[str | Path],
    *,
    out: str | Path,
    rule: str = DEFAULT,
    weights: Sequence[float] | None = None,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    cascade: bool = False,
    max_accuracy_loss: float | None = None,
    force: bool = False,
) -> Built:
    """Fuse contract files of any framework into the one file `out`, and check it against its members; prints nothing.

    members: two or more ONNX files, one for `tta`; rule: a name of `ensemble.rules.registry.RULES`, tuned on validation images if
    it is one that is tuned and no weights are given; weights: numbers of 0 or more, one per member, in their order.
    data: the data set to tune and check on, the one that the cards name if None; data_dir: where CIFAR-10 lies.
    cascade: the first member alone where it is sure enough; max_accuracy_loss: the fraction of validation accuracy that this
    may cost, 0.002 for 0.2 points.
    force: replace `out` even if it is another ensemble, or none.

    Raises UserError for options that contradict each other, members that do not fit, or a file that fails its check.

    >>> built = build(["models/a.onnx", "models/b.onnx"], out="models/ab.onnx", rule="weighted")
    >>> [member.name for member in built.card.members], round(sum(member.weight for member in built.card.members), 6)
    (['a', 'b'], 1.0)
    """
    folder = None if data_dir is None else Path(data_dir)
    of = None if data is None else str(data)
    paths = tuple(Path(member) for member in members)
    options = checked(paths, Path(out), rule, weights, of, folder, cascade, max_accuracy_loss, force)
    lines = tuple(make(options))
    return Built(options.out, load_model(options.out)[1], lines)


def make(options: Options) -> Iterator[str]:
    """Make ``options.out``; yields what a person should know of it, line by line. Nothing is kept if a check fails."""
    members = _members(options)
    _require_replaceable(options, members)
    require_writable(options.out.parent, "--out")
    yield from _warnings(members)
    needs_data = options.cascade or (is_tuned(options.rule) and options.weights is None)
    evidence = _evidence(options, members, needs_data)
    if evidence.note:
        yield f"note        checked on {RANDOM_IMAGES} random images: {evidence.note}"
    how = _combination(options, evidence)
    model, card, wanted, settled = _fused(options, members, how, evidence)
    what = f"the fused graph of {', '.join(str(path) for path in options.members)}"
    parity = _parity(model, evidence.images_u8[settled][:N_IMAGES], evidence.split, wanted, what)
    card = dataclasses.replace(card, parity=parity)
    if evidence.tuned_on is not None:
        card = _with_validation(card, how, evidence, tuned=needs_data)
    if options.cascade and evidence.tuned_on is not None:
        figures = cascade_figures(Cascade(how, float(card.recipe["threshold"])), evidence.member_logits, evidence.tuned_on)
        card = dataclasses.replace(card, figures={**card.figures, **figures})
    save_model(model, card, options.out, allowed=lambda: _require_replaceable(options, members))
    yield from _summary(options, card)
    yield _next_command(options, members)


def _members(options: Options) -> list[LoadedMember]:
    """The members as the rule takes them: files, or views of one file."""
    if RULES[options.rule].is_of_views:
        return view_members(load_member(options.members[0]))
    return load_members(options.members)


def _require_replaceable(options: Options, members: Sequence[LoadedMember]) -> None:
    """UserError if ``options.out`` is there and is not the ensemble of the same files by the same rule, unless --force."""
    require_free(options.out, lambda: _made_otherwise(options, members), "--out FILE for another name", force=options.force)


def _made_otherwise(options: Options, members: Sequence[LoadedMember]) -> str | None:
    try:
        there = load_model(options.out)[1]
    except UserError:
        return "is no file of this program"
    if there.rule != (f"cascade of {options.rule}" if options.cascade else options.rule):
        return "is a single model" if there.rule is None else f"was made by another rule ({there.rule})"
    files = members[:1] if RULES[options.rule].is_of_views else members
    if [member.sha256 for member in there.members] != [member.sha256 for member in files]:
        return "was made of other files"
    by_hand = None if options.weights is None else combination(options.rule, len(members), options.weights).weights
    given_weights = None if "tuned_on" in there.recipe else tuple(member.weight for member in there.members)
    if (by_hand is not None or is_tuned(options.rule)) and by_hand != given_weights:
        return "has other weights"
    loss = there.recipe.get("max_accuracy_loss")
    return "was made with another --max-accuracy-loss" if options.cascade and loss != options.max_accuracy_loss else None


def _evidence(options: Options, members: list[LoadedMember], needs_data: bool) -> Evidence:
    """Validation images if they are needed or at hand, else seeded noise; and the members' own outputs on them.

    The test images are never read: what is built and rebuilt on them would look better than it is.
    """
    cards = [member.card for member in members]
    if not needs_data and not validation.is_at_hand(cards, options.data, options.data_dir):
        return _noise(options, cards[0], f"data set {cards[0].dataset} is not at hand")
    dataset = validation.open_members_dataset(cards, options.data, options.data_dir)
    if needs_data:
        image_set = validation.validation_images(dataset, cards)
        logits = _members_logits(options, image_set.images_u8, image_set.split)
        return Evidence(image_set.images_u8, image_set.split, logits, image_set)
    if dataset.source("validation") not in dataset.available:
        return _noise(options, cards[0], f"data set {dataset.name} has no validation images")
    image_set = dataset.split("validation", cards[0].split_seed)
    few = image_set.take(np.arange(min(N_IMAGES, len(image_set))))
    return Evidence(few.images_u8, few.split, _members_logits(options, few.images_u8, few.split), few)


def _members_logits(options: Options, images_u8: UInt8Array, split: str) -> list[Float32Array]:
    """Each member's logits on the same images, one member after another; for views, those of the one file on each view."""
    if RULES[options.rule].is_of_views:
        return view_logits(options.members[0], images_u8)
    files = [(path.stem, path) for path in options.members]
    predictions = predict_files(files, images_u8, lambda name: f"{name} on {split} images")
    return [prediction.outputs.logits for prediction in predictions]


def _noise(options: Options, card: ModelCard, note: str) -> Evidence:
    shape = (RANDOM_IMAGES, card.image_height, card.image_width, 3)
    noise_u8 = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return Evidence(noise_u8, "random", _members_logits(options, noise_u8, "random"), None, note)


def _combination(options: Options, evidence: Evidence) -> Combination:
    if options.weights is not None or not is_tuned(options.rule):
        n_members = len(VIEWS) if RULES[options.rule].is_of_views else len(options.members)
        return combination(options.rule, n_members, options.weights)
    if evidence.tuned_on is None:
        raise ValueError(f"{options.rule} needs validation images")
    return tune(options.rule, evidence.member_logits, evidence.tuned_on.labels)


def _fused(
    options: Options, members: list[LoadedMember], how: Combination, evidence: Evidence
) -> tuple[ModelProto, ModelCard, tuple[Float32Array, Float64Array], np.ndarray]:
    """Graph, card, expected outputs for the first `N_IMAGES` settled (not borderline) images, and which are settled."""
    if not options.cascade:
        logits, probabilities = combine(how, evidence.member_logits)
        model, card = fuse(members, readable(options.out.stem), how)
        return model, card, (logits[:N_IMAGES], probabilities[:N_IMAGES]), np.ones(len(logits), dtype=bool)
    if evidence.tuned_on is None:
        raise ValueError("a cascade needs validation images")
    threshold = choose_threshold(how, evidence.member_logits, evidence.tuned_on.labels, options.max_accuracy_loss)
    cascade = Cascade(how, threshold)
    model, card = fuse_cascade(members, readable(options.out.stem), cascade)
    card = dataclasses.replace(card, recipe={**card.recipe, "max_accuracy_loss": options.max_accuracy_loss})
    outcome = run_cascade(cascade, evidence.member_logits)
    settled = ~outcome.borderline
    return model, card, (outcome.logits[settled][:N_IMAGES], outcome.probabilities[settled][:N_IMAGES]), settled


def _parity(model: ModelProto, images_u8: UInt8Array, split: str, wanted: tuple[Float32Array, Float64Array], what: str) -> Parity:
    """Agreement with the rule applied to the members' own outputs; UserError if it is too low."""
    opened = open_graph(model, what)
    # Logits of probabilities near 0 may differ widely, which means nothing.
    check_batches(opened, images_u8, wanted[0].shape[1], logits=math.inf, probabilities=MAX_ABS_PROBABILITY_DIFFERENCE)
    logits, probabilities = opened.predicted(images_u8).outputs
    parity = measure(wanted[0], logits, split, (wanted[1], probabilities))
    require_fused(parity, what)
    return parity


def _with_validation(card: ModelCard, how: Combination, evidence: Evidence, *, tuned: bool) -> ModelCard:
    """The card with the fingerprint of the images that choices were made on, and the NLL there."""
    image_set = evidence.tuned_on
    if not tuned or image_set is None:
        return card
    facts = {"tuned_on": image_set.split, "tuned_on_sha256": image_set.sha256, "tuned_on_n_images": len(image_set)}
    equal = combination(DEFAULT, how.n_members)
    figures = {
        "validation_nll": combination_nll(how, evidence.member_logits, image_set.labels),
        "validation_nll_of_mean": combination_nll(equal, evidence.member_logits, image_set.labels),
        "validation_accuracy": _accuracy(combine(how, evidence.member_logits)[0], image_set),
    }
    return dataclasses.replace(card, recipe={**card.recipe, **facts}, figures={**card.figures, **figures})


def _accuracy(logits: Float32Array, image_set: ImageSet) -> float:
    return float((logits.argmax(axis=1) == image_set.labels).mean())


def _warnings(members: list[LoadedMember]) -> Iterator[str]:
    data = {tuple(sorted(member.card.dataset_sha256.items())) for member in members}
    if len(data) > 1:
        names = ", ".join(member.card.name for member in members)
        yield f"note        the cards of {names} name different images: their data sets are not the same"


def _summary(options: Options, card: ModelCard) -> Iterator[str]:
    yield f"ensemble    {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)"
    tuned_on = card.recipe.get("tuned_on_n_images")
    origin = f", tuned on {tuned_on:,} validation images of {card.dataset}" if tuned_on else ", nothing tuned"
    yield f"rule        {card.rule}{origin}"
    if tuned_on:
        yield from (f"note        {line}" for line in validation.few_images_note(tuned_on))
    for member in card.members:
        unused = "; not in the file" if member.weight == 0 and not (options.cascade and member is card.members[0]) else ""
        yield f"member      {member.name}: weight {member.weight:.3f}, temperature {member.temperature:.3f}{unused}"
    at_bound = [m.name for m in card.members if tuned_on and m.temperature in TEMPERATURES]
    if at_bound:
        yield f"note        too few validation errors to calibrate {', '.join(at_bound)}: its temperature is at its bound"
    if "validation_nll" in card.figures:
        figures = card.figures
        yield (
            f"validation  NLL {figures['validation_nll']:.4f} (plain mean {figures['validation_nll_of_mean']:.4f}), "
            f"{figures['validation_accuracy']:.2%} right" + (", of the whole ensemble" if options.cascade else "")
        )
    if options.cascade:
        yield from cascade_lines(card)
        yield "note        the benchmark measures its accuracy on test images and its speed (next, below)"
    if card.parity is not None and card.parity.max_abs_probability_difference is not None:
        yield (
            f"parity      probabilities within {card.parity.max_abs_probability_difference:.1e} of what the members themselves "
            f"say on {card.parity.n_images} {card.parity.split} images"
        )


def _next_command(options: Options, members: list[LoadedMember]) -> str:
    """The command that measures the file on test images, and its speed; a cascade beside its whole ensemble."""
    cards = [member.card for member in members]
    paths = " ".join(shlex.quote(str(path)) for path in dict.fromkeys((*options.members, options.out)))
    command = f"python -m benchmark --data {shlex.quote(options.data or cards[0].dataset)} --models {paths}"
    if options.data_dir is not None:
        command += f" --data-dir {shlex.quote(str(options.data_dir))}"
    if options.cascade and options.weights is None and _benchmark_combines(cards):
        command += f" --ensemble {options.rule}"
    return f"next        {command}"


def _benchmark_combines(cards: list[ModelCard]) -> bool:
    """Whether the benchmark's `--ensemble` combines just these members: two to six that differ, of one precision, no ensembles."""
    names, kinds = {card.name for card in cards}, {(card.rule, card.precision) for card in cards}
    return 2 <= len(names) == len(cards) <= 6 and len(kinds) == 1 and cards[0].rule is None
