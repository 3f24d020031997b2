"""What one benchmark collects as it runs; `Results` are made from it once, and everything shown is made from those."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.accuracy.calibration import Calibration
from benchmark.candidates import Candidate
from benchmark.costs.graph import GraphCost
from benchmark.images import LeftOut
from benchmark.latency.experiment import LatencyRun
from benchmark.latency.loadgen import CrossCheck
from benchmark.latency.pairs import LatencyPair
from benchmark.latency.summary import LatencySummary
from benchmark.report.tables import Entry, Pair
from benchmark.robustness.flips import Flips
from benchmark.robustness.table import Robustness
from benchmark.robustness.wanted import Wanted, WantedSequences
from benchmark.settings.grid import Setting
from core.records import Float32Array, ImageSet, Predictions
from ensemble.rules.combination import Combination
from ensemble.rules.registry import RULES
from models.runtimes.base import Provider


@dataclass(frozen=True)
class Ensemble:
    """Names of the members and how they are combined."""

    members: tuple[str, ...]
    how: Combination

    @property
    def is_of_views(self) -> bool:
        """Whether its members are views of one network: the logits kept of that network do not determine its predictions."""
        return RULES[self.how.rule].is_of_views


@dataclass
class Findings:
    """Filled step by step; an entry, predictions and a file for every single model and ensemble, by name.

    max_error: share of wrong answers for which thresholds are chosen on the images `tuned_on`; None for no thresholds.
    left_out: images that --exclude names, which are not judged; right_of_left_out: by model, whether it is right about each.
    own_predictions: by model and provider, of providers that round differently from that of `predictions`.
    settings: instances and threads to compare, empty if not asked for; settings_run: their timing.
    pairs: of a question (`accuracy.pairs`) and of other single models; more_pairs: the rest, for pairs.csv, answer and front.
    """

    image_set: ImageSet
    candidates: list[Candidate]
    providers: list[Provider]
    threads: int
    entries: list[Entry] = field(default_factory=list)
    predictions: dict[str, Predictions] = field(default_factory=dict)
    own_predictions: dict[tuple[str, str], Predictions] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    ensembles: dict[str, Ensemble] = field(default_factory=dict)
    tuned_on: ImageSet | None = None
    validation: dict[str, Predictions] = field(default_factory=dict)
    calibration: list[Calibration] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    more_pairs: list[Pair] = field(default_factory=list)
    latency_run: LatencyRun | None = None
    latencies: list[LatencySummary] = field(default_factory=list)
    latency_pairs: list[LatencyPair] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    settings_run: LatencyRun | None = None
    max_error: float | None = None
    left_out: LeftOut | None = None
    right_of_left_out: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    foreign: ImageSet | None = None
    foreign_logits: dict[str, Float32Array] = field(default_factory=dict)
    to_corrupt: Wanted | None = None
    robustness: Robustness | None = None
    to_perturb: WantedSequences | None = None
    flips: Flips | None = None
    graph_costs: dict[str, GraphCost] = field(default_factory=dict)
    cross_checks: list[CrossCheck] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def predictions_provider(self) -> str:
        """The provider behind `predictions`; empty if nothing is run here."""
        return self.providers[0].name if self.providers else ""
