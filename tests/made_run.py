"""A benchmark that nobody ran: made-up predictions and latencies, collected as a run collects them, and the results of it."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from pathlib import Path
from unittest import mock

import numpy as np

from benchmark.accuracy.metrics import measure
from benchmark.accuracy.pairs import OTHER_ENSEMBLES, compare_pairs
from benchmark.candidates import Candidate
from benchmark.findings import Ensemble, Findings
from benchmark.latency.experiment import Configuration, LatencyRun
from benchmark.latency.pairs import compare_latencies
from benchmark.latency.summary import summarise
from benchmark.options import Options
from benchmark.report import run_files
from benchmark.report.tables import Entry
from benchmark.results import Results
from core.records import ImageSet, LatencySamples, Predictions
from ensemble.rules.combination import combination
from models.runtimes.base import Provider
from models.runtimes.registry import CPU
from tests.tiny_models import tiny_card

PROCESSOR = "AMD EPYC 9R14 96-Core Processor"
LABELS = np.arange(1000) % 10


@cache
def findings(
    singles: tuple[str, ...], n_rounds: int = 8, batch_sizes: tuple[int, ...] = (1, 32, 256), threads: int = 2
) -> Findings:
    """A run over made-up predictions and latencies: every pair of `singles` as an ensemble, and the oracle."""
    random = np.random.default_rng(0)
    image_set = ImageSet(np.zeros((1000, 1, 1, 3), np.uint8), LABELS, tuple("abcdefghij"), "cifar10", "test", "0" * 64)
    ensembles = {"+".join(pair): Ensemble(pair, combination("mean", 2)) for pair in combinations(singles, 2)}
    names, provider = [*singles, *ensembles], Provider(CPU, PROCESSOR)
    found = Findings(
        image_set,
        [Candidate(name, Path(f"{name}.onnx"), tiny_card(name)) for name in singles],
        [provider],
        threads,
        ensembles=ensembles,
    )
    samples = []
    for index, name in enumerate(names):
        logits = random.normal(0, 1, (1000, 10)).astype(np.float32)
        logits[np.arange(1000), LABELS] += 3 + index
        found.predictions[name] = Predictions(name, "test", "0" * 64, logits)
        kind, members = ("ensemble", ensembles[name].members) if name in ensembles else ("single", ())
        found.entries.append(Entry(name, kind, members, "torch", "fp32", 44.7, measure(found.predictions[name], LABELS)))
        for turn in range(n_rounds):
            for size in batch_sizes:
                calls_ms = size * (12.3 + index + 5 * random.random(5))
                where = (size, threads, "host-to-host", turn, turn)
                samples.append(LatencySamples(name, CPU, *where, 1.0, 2.0, np.ones(2), calls_ms))
    found.entries.append(Entry("oracle", "oracle", singles, "", "", float("nan"), found.entries[0].accuracy))
    right = {name: predictions.predicted() == LABELS for name, predictions in found.predictions.items()}
    pairs = compare_pairs(right, list(singles), {name: one.members for name, one in ensembles.items()}, CPU)
    found.pairs = [pair for pair in pairs if pair.family != OTHER_ENSEMBLES]
    found.more_pairs = [pair for pair in pairs if pair.family == OTHER_ENSEMBLES]
    wanted = [
        Configuration(name, Path(f"{name}.onnx"), provider, size, threads, "host-to-host") for size in batch_sizes for name in names
    ]
    placements = {f"{name} on {CPU}": {CPU: 9} for name in names}
    if samples:
        found.latency_run = LatencyRun(wanted, samples, placements, 0, n_rounds, 60.0)
    found.latencies = summarise(samples)
    found.latency_pairs = compare_latencies(samples, [(pair.model_a, pair.model_b) for pair in found.pairs])
    return found


@cache
def results(singles: tuple[str, ...], n_rounds: int = 8, batch_sizes: tuple[int, ...] = (1, 32, 256), threads: int = 2) -> Results:
    """What such a run found; its folder is none."""
    return results_of(findings(singles, n_rounds, batch_sizes, threads))


def results_of(found: Findings, options: Options | None = None, folder: Path = Path("none")) -> Results:
    """The results of findings whose model files do not exist."""
    with mock.patch.object(run_files, "sha256_of_model", lambda path: path.stem):
        return run_files.results_of(found, options or Options(batch_sizes=(1, 32, 256)), folder)
