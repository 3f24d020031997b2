"""`costs.csv`: what each model costs where it was timed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.costs.graph import GraphCost
from benchmark.costs.meters import why_no_energy
from core.records import LatencySamples

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "model provider batch_size parameters gmacs size_mb session_load_ms peak_memory_mb energy_j_per_image "
    "throughput_images_per_s usd_per_million_images missing"
).split()
IN_COMPARISON = ("parameters", "gmacs", "peak_memory_mb", "usd_per_million_images")
UNKNOWN = GraphCost(0, math.nan)


def cost_rows(
    comparison: pd.DataFrame,
    graphs: Mapping[str, GraphCost],
    samples: Sequence[LatencySamples],
    usd_per_hour: float | None,
) -> pd.DataFrame:
    """A row for each of `comparison` but the oracle's.

    peak_memory_mb: the most of any process of that configuration, above a process that has opened nothing; energy_j_per_image:
    of the processor packages during the timed calls, idle share and other programs included; usd_per_million_images: at
    `usd_per_hour` for the machine and the throughput of one session.
    """
    import pandas as pd

    timed: dict[tuple[str, str, float], list[LatencySamples]] = {}
    for one in samples:
        if one.transfer == "host-to-host":
            timed.setdefault((one.model, one.provider, one.batch_size), []).append(one)
    reason = why_no_energy() if samples else "not timed"
    models, rows = comparison[comparison["kind"] != "oracle"], []
    for row in models.to_dict("records"):
        processes = timed.get((row["model"], row["provider"], row["batch_size"]), [])
        cost, rate = graphs.get(str(row["model"]), UNKNOWN), row["throughput_images_per_s"]
        energy_j = _energy_j_per_image(processes)
        rows.append(
            {
                **{name: row[name] for name in ("model", "provider", "batch_size", "size_mb", "throughput_images_per_s")},
                "parameters": cost.parameters or math.nan,
                "gmacs": cost.gmacs,
                "session_load_ms": _of_known(np.median, [one.session_load_ms for one in processes]),
                "peak_memory_mb": _of_known(np.max, [one.peak_memory_mb for one in processes]),
                "energy_j_per_image": energy_j,
                "usd_per_million_images": math.nan if usd_per_hour is None else usd_per_hour / 3600 * 1e6 / rate,
                "missing": "" if energy_j == energy_j else reason,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS), index=models.index)


def with_costs(comparison: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """The comparison with the columns `IN_COMPARISON` of the costs, empty for the oracle."""
    filled = comparison.copy()
    for name in IN_COMPARISON:
        filled[name] = costs[name].astype(float).reindex(comparison.index)
    return filled


def _energy_j_per_image(processes: Sequence[LatencySamples]) -> float:
    """Nan if a counter could not be read, wrapped around or did not move, as slow ones may."""
    n_images = sum(one.batch_size * len(one.samples_ms) for one in processes)
    energy_j = sum(one.energy_j for one in processes)
    return energy_j / n_images if n_images and energy_j > 0 and all(one.energy_j >= 0 for one in processes) else math.nan


def _of_known(figure: Any, values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return float(figure(known)) if known else math.nan
