"""What was adopted, in words and tables, on stdout."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from core.console import output_console, print_lines
from core.errors import few
from core.statistics import wilson_ci95
from export.adopt.stated import in_words

if TYPE_CHECKING:
    from export.adopt.pipeline import Adopted
    from export.adopt.searching import Search


def print_search(found: Search, name: str) -> None:
    """The table of accuracies of every preprocessing that was tried, best first."""
    from rich.table import Table

    table = Table(f"preprocessing tried for {name}")
    for title in ("images", "accuracy % (95 %)", "p against the best"):
        table.add_column(title, justify="right")
    for one in found.candidates:
        low, high = wilson_ci95(int(one.right.sum()), len(one.right))
        p_value = "" if one.p_against_best != one.p_against_best else _p_words(one.p_against_best)
        taken = " (taken)" if one is found.best else ""
        interval = f"{100 * one.accuracy:.1f} ({100 * low:.1f}–{100 * high:.1f})"
        table.add_row(one.words + taken, str(len(one.right)), interval, p_value)
    output_console().print(table)


def print_adopted(one: Adopted, data: str) -> None:
    """What was found and proved of one model, and the command that measures it."""
    card, measured = one.card, one.parity
    assert card.preprocessing is not None
    lines = [
        f"{one.target}: adopted from {one.source} ({one.input_words})",
        f"  classes: {len(card.class_names)} of the data, {one.match.how}; the model's names: {one.classes}",
    ]
    if one.match.respelled:
        pairs = [f"{ours} = {theirs}" for ours, theirs in one.match.respelled]
        lines.append(f"  spelled differently: {few(pairs, 8)}")
    if "probability_on_other_classes" in card.figures:
        lines.append(f"  probability on the model's other classes: {one.elsewhere:.1%} on average, which no metric counts")
    lines += [
        f"  preprocessing ({one.preprocessing_from}): {in_words(card.preprocessing)}",
        f"  same as the original on {measured.n_images} {measured.split} images: largest difference "
        f"{measured.max_abs_logit_difference:.1e}, {measured.equal_labels:.0%} of labels equal; {one.accuracy:.1%} of them right",
        *(f"  note: {note}" for note in one.notes),
        f"next: python -m benchmark --models {shlex.quote(str(one.target))} --data {shlex.quote(data)}",
    ]
    print_lines(lines)


def _p_words(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
