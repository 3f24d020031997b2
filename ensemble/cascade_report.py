"""What a cascade costs and what it keeps: shares that stop early, accuracies, time per image expected and measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.console import progress
from core.decimals import signed
from core.errors import UserError
from core.records import Float32Array, ImageSet
from core.statistics import difference_ci95, paired_counts
from ensemble import validation
from ensemble.cascade import Cascade, CascadeOutputs, first_member, run_cascade
from ensemble.fuse import LoadedMember, fuse
from ensemble.rules.combination import Combination, combine
from models.graph.contract import IMAGES
from models.runtimes.cpu import cpu_session, members_logits

if TYPE_CHECKING:
    from onnx import ModelProto

    from core.records import UInt8Array
    from ensemble.options import Options
    from models.card import ModelCard

ROUNDS = 5
N_TIMED = 40  # images of each kind, stopping early and going on
N_WARMUP = 10


@dataclass(frozen=True)
class Cost:
    """Mean milliseconds an image at batch 1; the expected one is cheap + share that goes on × (whole - cheap)."""

    cheap_ms: float
    whole_ms: float
    expected_ms: float
    measured_ms: float


def cascade_figures(
    options: Options,
    members: Sequence[LoadedMember],
    how: Combination,
    card: ModelCard,
    model: ModelProto,
    tuned_on: ImageSet | None,
    member_logits: Sequence[Float32Array],
) -> tuple[dict[str, float], Cost]:
    """Figures for the card, on validation and, where the data set has it, on test; and the cost on validation images.

    Nothing is chosen on the test images: threshold and weights are fixed before they are read.
    """
    if tuned_on is None:
        raise ValueError("a cascade needs validation images")
    cascade = Cascade(how, float(card.recipe["threshold"]))
    said = run_cascade(cascade, member_logits)
    figures = _figures("validation", how, said, member_logits, tuned_on)
    try:
        dataset = validation.open_members_dataset([member.card for member in members], options.data, options.data_dir)
        test = dataset.official("test")
    except UserError:
        test = None  # a folder may have no test images
    if test is not None:
        test_logits = members_logits(options.members, test.images_u8, "test")
        figures |= _figures("test", how, run_cascade(cascade, test_logits), test_logits, test)
    cost = measure_cost(members, how, model, tuned_on.images_u8, said)
    return {**figures, "expected_ms": cost.expected_ms, "measured_ms": cost.measured_ms}, cost


def _figures(
    split: str, how: Combination, said: CascadeOutputs, member_logits: Sequence[Float32Array], image_set: ImageSet
) -> dict[str, float]:
    def right(logits: Float32Array) -> NDArray[np.bool_]:
        return np.asarray(logits.argmax(axis=1) == image_set.labels)

    whole_logits = combine(how, member_logits)[0]
    low, high = difference_ci95(paired_counts(right(said.logits), right(whole_logits)))

    return {
        f"{split}_share_stopping_early": float(said.stops_early.mean()),
        f"{split}_accuracy_change_ci95_low": low,
        f"{split}_accuracy_change_ci95_high": high,
        f"{split}_accuracy_of_cascade": float(right(said.logits).mean()),
        f"{split}_accuracy_of_whole": float(right(whole_logits).mean()),
        f"{split}_accuracy_of_first": float(right(first_member(how, member_logits)[0]).mean()),
    }


def measure_cost(
    members: Sequence[LoadedMember], how: Combination, model: ModelProto, images_u8: UInt8Array, said: CascadeOutputs
) -> Cost:
    """Time the first member, the whole ensemble and the cascade in turns, one session alive at a time.

    The two kinds of images are timed apart and weighted by how many of each there are, so that few images suffice.
    """
    chosen = {early: np.flatnonzero(said.stops_early == early)[:N_TIMED] for early in (True, False)}
    sources = {
        "first member": members[0].model.SerializeToString(),
        "whole ensemble": fuse(members, "whole", how)[0].SerializeToString(),
        "cascade": model.SerializeToString(),
    }
    means_ms: dict[tuple[str, bool], list[float]] = {(name, early): [] for name in sources for early in chosen}
    with progress() as display:
        task = display.add_task("timing at batch 1", total=ROUNDS * len(sources))
        for _ in range(ROUNDS):
            for name, source in sources.items():
                for early, mean_ms in _mean_ms(source, name, images_u8, chosen).items():
                    means_ms[name, early].append(mean_ms)
                display.advance(task)
    share_early = float(said.stops_early.mean())

    def mixed_ms(name: str) -> float:
        shares = ((True, share_early), (False, 1 - share_early))
        return sum(share * float(np.median(means_ms[name, early])) for early, share in shares if share)

    cheap_ms, whole_ms = mixed_ms("first member"), mixed_ms("whole ensemble")
    return Cost(cheap_ms, whole_ms, cheap_ms + (1 - share_early) * (whole_ms - cheap_ms), mixed_ms("cascade"))


def _mean_ms(source: bytes, name: str, images_u8: UInt8Array, chosen: dict[bool, np.ndarray]) -> dict[bool, float]:
    """Mean milliseconds a call on each kind of image, after a warm-up, in one session; nan for a kind without images."""
    session = cpu_session(source, f"the {name}")
    for index in np.concatenate(list(chosen.values()))[:N_WARMUP]:
        session.run(None, {IMAGES: images_u8[index : index + 1]})
    found: dict[bool, float] = {}
    for early, indices in chosen.items():
        started = time.perf_counter()
        for index in indices:
            session.run(None, {IMAGES: images_u8[index : index + 1]})
        found[early] = 1000 * (time.perf_counter() - started) / len(indices) if len(indices) else float("nan")
    return found


def cascade_lines(card: ModelCard, cost: Cost) -> list[str]:
    """What a person should know of the cascade, a line each split and one for the cost."""
    lines = [
        f"cascade     {card.members[0].name} alone where its top probability is {card.recipe['threshold']:.4g} or more "
        f"(allowed accuracy loss: {100 * card.recipe['max_accuracy_loss']:g} points)",
        *_no_image_may_be_lost(card),
    ]
    for split in ("validation", "test"):
        if f"{split}_share_stopping_early" in card.figures:
            early, own, whole, first = (
                card.figures[f"{split}_{figure}"]
                for figure in ("share_stopping_early", "accuracy_of_cascade", "accuracy_of_whole", "accuracy_of_first")
            )
            low, high = (card.figures[f"{split}_accuracy_change_ci95_{end}"] for end in ("low", "high"))
            lines.append(
                f"{split:<10}  {early:.1%} of images stop early; {own:.2%} right "
                f"(whole ensemble {whole:.2%}, first member {first:.2%}); against the whole ensemble "
                f"{signed(100 * low, 2)} to {signed(100 * high, 2)} points (95 %)"
            )
    if card.figures["validation_share_stopping_early"] in (0.0, 1.0):
        alone = card.figures["validation_share_stopping_early"] == 1
        lines.append(
            f"note        {'every' if alone else 'no'} validation image stops early, so that this file is "
            f"{'the first member alone' if alone else 'the whole ensemble'}: "
            + ("too few validation images tell the two apart" if alone else "state a larger --max-accuracy-loss")
        )
    ratio = cost.whole_ms / cost.measured_ms
    verdict = f"{ratio:.2f} × faster than" if ratio > 1.02 else "no faster than"
    lines.append(
        f"cost        {cost.measured_ms:.3g} ms an image at batch 1, expected {cost.expected_ms:.3g} "
        f"(first member {cost.cheap_ms:.3g}, whole ensemble {cost.whole_ms:.3g}): {verdict} the whole ensemble"
    )
    if cost.measured_ms > cost.whole_ms or cost.cheap_ms > 0.9 * cost.whole_ms:
        lines.append("note        the first member should be the fastest: put it first, or leave out --cascade")
    return lines


def _no_image_may_be_lost(card: ModelCard) -> list[str]:
    """A line where the allowed loss is less than one validation image."""
    loss, n_images = float(card.recipe["max_accuracy_loss"]), int(card.recipe["tuned_on_n_images"])
    if not 0 < loss * n_images < 1 - 1e-9:
        return []
    return [f"note        {100 * loss:g} points are less than one of {n_images:,} validation images: none may be lost"]
