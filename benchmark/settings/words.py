"""Which setting is best, in a sentence per model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmark.latency.pairs import MIN_PAIRS, NOT_TESTED
from benchmark.report.smaller_tables import three_digits
from benchmark.settings.grid import Setting
from benchmark.settings.table import BEATEN, ONLY, TIED
from core.decimals import counted
from models.runtimes.registry import spoken

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.results import Results


def settings_sentences(results: Results, name_of: Callable[[str], str] = str) -> list[str]:
    """A sentence per provider and model: the settings of highest throughput and of lowest latency, and which tie with these.

    Latency is at the first batch size, throughput at the largest that was tested.
    """
    at_batch = results.run["options"].get("at_batch")
    sentences = []
    for (model, provider), own in results.settings.groupby(["model", "provider"], sort=False):
        first = at_batch if at_batch in set(own["batch_size"]) else own["batch_size"].min()
        tested = own["batch_size"][own["n_rounds"] >= MIN_PAIRS]
        largest = first if tested.empty else tested.max()
        images = _best(own[own["batch_size"] == largest], "throughput")
        latency = _best(own[own["batch_size"] == first], "latency")
        sentences.append(f"{name_of(str(model))}, {spoken(str(provider))}: best throughput {images}; best latency {latency}")
    return sentences


def _best(rows: pd.DataFrame, measure: str) -> str:
    """The best of the settings of one place with its figure, the settings that tie with it, or that it was not tested."""
    figure, sign, unit = ("latency_p50_ms", 1, " ms p50") if measure == "latency" else ("throughput_images_per_s", -1, " images/s")
    low, high = _INTERVALS[measure]
    candidates = rows[rows[f"{measure}_verdict"] != BEATEN]
    best, *rest = [row for _, row in candidates.sort_values(figure, ascending=sign > 0, kind="stable").iterrows()]
    others = [str(_setting(row)) for row in rest]
    verdict = best[f"{measure}_verdict"]
    notes = {
        TIED: f", tied with {' and '.join(others)}",
        NOT_TESTED: f", not tested: {counted(int(best['n_rounds']), 'round')} of the {MIN_PAIRS} needed",
        ONLY: ", the only setting",
    }
    interval = "" if best[low] != best[low] else f" ({three_digits(best[low])}–{three_digits(best[high])})"
    said = f"{_setting(best)}, {three_digits(best[figure])}{unit}{interval} at batch {int(best['batch_size'])}"
    return said + notes.get(verdict, "")


_INTERVALS = {
    "latency": ("latency_p50_ci95_low_ms", "latency_p50_ci95_high_ms"),
    "throughput": ("throughput_ci95_low_images_per_s", "throughput_ci95_high_images_per_s"),
}


def _setting(row: pd.Series) -> Setting:
    return Setting(int(row["instances"]), int(row["threads"]))
