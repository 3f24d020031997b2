"""Where models were timed: accuracy against latency, what to deploy under each limit, and the p50 of each process."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmark.report.advice import Limits, answer_within
from benchmark.report.html.contents.shown import Shown
from benchmark.report.verdicts import round_p50_ms, verdicts_of
from models.runtimes.registry import spoken

if TYPE_CHECKING:
    import pandas as pd

N_STEPS = 24  # of the slider, beside the p50 of each model
MOST_PLACES = 12


def places(shown: Shown) -> list[dict[str, Any]]:
    """A place per run, provider and batch size that was timed: its points, and the answer at each limit of latency."""
    timed_places = []
    for position, run in enumerate(shown.runs):
        timed = run.comparison.dropna(subset=["latency_p50_ms"]) if "latency_p50_ms" in run.comparison else run.comparison[:0]
        verdicts = verdicts_of(run) if len(timed) and "provider" in run.pairs else {}
        known = {model.name: model.shown_as for model in shown.of_run(position)}
        for (named, size), rows in timed.groupby(["provider", "batch_size"], sort=False):
            provider, batch_size = str(named), int(cast(float, size))
            where = f"{spoken(provider)}, batch {batch_size}"
            limits = _limits(rows["latency_p50_ms"].to_numpy()) if (provider, batch_size) in verdicts else []
            answers = [answer_within(rows, verdicts[provider, batch_size], Limits(batch_size, limit)) for limit in limits]
            timed_places.append(
                {
                    "label": where if len(shown.runs) == 1 else f"{where} ({shown.run_names[position]})",
                    "device": str(rows.iloc[0].get("device_name") or ""),
                    "provider": spoken(provider),
                    "run": position,
                    "batch_size": batch_size,
                    "points": [_point(row, known[row["model"]]) for row in rows.to_dict("records") if row["model"] in known],
                    "limits": limits,
                    "answers": answers,
                    "processes": _processes(run.latency_samples, provider, batch_size, known),
                }
            )
    return timed_places[:MOST_PLACES]


def _point(row: Mapping[Hashable, Any], shown_as: str) -> dict[str, Any]:
    names = {
        "accuracy": "top1_accuracy",
        "accuracy_low": "top1_ci95_low",
        "accuracy_high": "top1_ci95_high",
        "p50_ms": "latency_p50_ms",
        "p50_low_ms": "latency_p50_ci95_low_ms",
        "p50_high_ms": "latency_p50_ci95_high_ms",
        "size_mb": "size_mb",
    }
    values = {name: None if row[column] != row[column] else float(row[column]) for name, column in names.items()}
    for end in ("p50_low_ms", "p50_high_ms"):  # an interval needs three processes
        values[end] = values["p50_ms"] if values[end] is None else values[end]
    on_front = row.get("on_pareto_front")
    return {"model": shown_as, **values, "front": bool(on_front) if on_front == on_front and on_front is not None else False}


def _limits(p50_ms: np.ndarray) -> list[float]:
    """Limits of three digits for the slider: from below the fastest to above the slowest, and just above each p50."""
    low, high = 0.8 * p50_ms.min(), 1.25 * p50_ms.max()
    limits = [*np.geomspace(low, high, N_STEPS), *p50_ms]
    return sorted({_three_digits_up(float(value)) for value in limits})


def _three_digits_up(value: float) -> float:
    """`value` rounded up to three significant digits."""
    digits = 2 - int(np.floor(np.log10(value)))
    return float(round(np.ceil(value * 10.0**digits - 1e-9) / 10.0**digits, max(digits, 0)))


def _processes(samples: pd.DataFrame, provider: str, batch_size: int, known: dict[str, str]) -> list[dict[str, Any]]:
    """p50 of each process, host to host."""
    here = samples[(samples["provider"] == provider) & (samples["batch_size"] == batch_size)]
    here = here[here["transfer"] == "host-to-host"]
    return [
        {"model": known[model], "round": turn, "p50_ms": p50_ms}
        for model, by_round in round_p50_ms(here).items()
        if model in known
        for turn, p50_ms in by_round.items()
    ]
