"""The files of a run folder, all made from its findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.accuracy.calibration import calibration_rows
from benchmark.accuracy.metrics import measure
from benchmark.accuracy.pairs import compare_pairs, smallest_difference
from benchmark.findings import Findings
from benchmark.latency.pairs import LatencyPair
from benchmark.options import Options
from benchmark.report import tables
from benchmark.report.advice import Limits, advice
from benchmark.report.pareto import mark_front
from benchmark.report.plots import write_plots
from benchmark.report.tables import Pair
from benchmark.report.verdicts import Verdicts
from core.environment import environment
from core.files import write_json
from core.records import ImageSet, LatencySamples, Predictions
from models.graph.external_data import sha256_of_model

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_run(folder: Path, findings: Findings, options: Options, limits: Limits) -> None:
    """Write every table, picture and kept value of the run into `folder`.

    What `limits` let one deploy is put into ``findings.answers``.
    """
    image_set, class_names = findings.image_set, findings.image_set.class_names
    accuracies = [entry.accuracy for entry in findings.entries if entry.kind != "oracle"]
    device_names = {provider.name: provider.device_name for provider in findings.providers}
    own = {where: measure(predictions, image_set.labels) for where, predictions in findings.own_predictions.items()}
    comparison = tables.comparison_rows(findings.entries, findings.latencies, device_names, image_set, own)
    own_pairs = _pairs_of_own_predictions(findings)
    verdicts = _verdicts(findings, own_pairs)
    comparison = mark_front(comparison, verdicts)
    findings.answers = advice(comparison, verdicts, limits)
    samples = findings.latency_run.samples if findings.latency_run else []
    written = {
        "comparison.csv": comparison,
        "per_class.csv": tables.per_class_rows(accuracies, class_names),
        "confusion.csv": tables.confusion_rows(accuracies, class_names),
        "latency.csv": tables.latency_rows(findings.latencies, findings.providers, findings.placements()),
        "pairs.csv": tables.pair_rows([*findings.pairs, *findings.more_pairs, *own_pairs]),
        "latency_pairs.csv": tables.latency_pair_rows(findings.latency_pairs),
        "latency_samples.csv.gz": tables.sample_rows(samples),
    }
    if findings.calibration:
        written["ensembles.csv"] = calibration_rows(findings.calibration)
    if findings.cross_checks:
        written["loadgen.csv"] = tables.cross_check_rows(findings.cross_checks)
    for name, frame in written.items():
        tables.write_csv(frame, folder / name)
    _write_predictions(folder / "predictions", findings)
    findings.notes += write_plots(folder / "plots", accuracies, class_names, comparison, f"{image_set.name} {image_set.split}")
    write_json(folder / "run.json", _facts(findings, options))


def _pairs_of_own_predictions(findings: Findings) -> list[Pair]:
    """The tests of every pair on the predictions of each provider that has its own."""
    labels = findings.image_set.labels
    right: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for (model, provider), predictions in findings.own_predictions.items():
        right.setdefault(provider, {})[model] = predictions.predicted() == labels
    singles = [candidate.name for candidate in findings.candidates]
    members_of = {name: ensemble.members for name, ensemble in findings.ensembles.items()}
    return [pair for provider, by_model in right.items() for pair in compare_pairs(by_model, singles, members_of, provider)]


def _verdicts(findings: Findings, own_pairs: Sequence[Pair]) -> dict[tuple[str, int], Verdicts]:
    """The tests of each provider and batch size that was timed, host to host."""
    places = dict.fromkeys((s.provider, s.batch_size) for s in findings.latencies)
    with_own = {pair.provider for pair in own_pairs}
    shared = [*findings.pairs, *findings.more_pairs]
    samples = findings.latency_run.samples if findings.latency_run else []

    def here(timed: LatencyPair | LatencySamples, place: tuple[str, int]) -> bool:
        return (timed.provider, timed.batch_size) == place and timed.transfer == "host-to-host"

    return {
        place: Verdicts(
            [pair for pair in own_pairs if pair.provider == place[0]] if place[0] in with_own else shared,
            [pair for pair in findings.latency_pairs if here(pair, place)],
            [process for process in samples if here(process, place)],
        )
        for place in places
    }


def _write_predictions(folder: Path, findings: Findings) -> None:
    """The logits of each single model with the labels, and those that ensembles were tuned on: enough to make every table again."""
    folder.mkdir()
    for candidate in findings.candidates:
        _write_logits(folder / f"{candidate.name}.npz", findings.predictions[candidate.name], findings.image_set)
    for (name, provider), own in findings.own_predictions.items():
        _write_logits(folder / f"{name}_{provider}.npz", own, findings.image_set)
    if findings.tuned_on is not None:
        for name, predictions in findings.validation.items():
            _write_logits(folder / f"{name}_validation.npz", predictions, findings.tuned_on)


def _write_logits(path: Path, predictions: Predictions, image_set: ImageSet) -> None:
    np.savez_compressed(
        path,
        logits=predictions.logits,
        labels=image_set.labels,
        class_names=np.array(image_set.class_names),
        split=np.array(image_set.split),
        dataset_sha256=np.array(image_set.sha256),
    )


def _facts(findings: Findings, options: Options) -> dict[str, Any]:
    image_set, run = findings.image_set, findings.latency_run
    latency, tuned = None, findings.tuned_on
    if run is not None:
        latency = {"order_seed": run.seed, "rounds": run.rounds, "elapsed_s": run.elapsed_s, "placements": run.placements}
    return {
        "what": "benchmark",
        "options": {key: _plain(value) for key, value in dataclasses.asdict(options).items()},
        "environment": environment(),
        "providers": [dataclasses.asdict(provider) for provider in findings.providers],
        "threads": findings.threads,
        "predictions_provider": findings.providers[0].name,
        "dataset": {
            "name": image_set.name,
            "split": image_set.split,
            "n_images": len(image_set),
            "sha256": image_set.sha256,
            "class_names": list(image_set.class_names),
        },
        "models": [
            {"name": c.name, "path": str(c.path), "sha256": sha256_of_model(c.path), "card": dataclasses.asdict(c.card)}
            for c in findings.candidates
        ],
        "ensembles": [{"name": name, "members": e.members, **dataclasses.asdict(e.how)} for name, e in findings.ensembles.items()],
        "tuned_on": None if tuned is None else {"split": tuned.split, "n_images": len(tuned), "sha256": tuned.sha256},
        "smallest_difference": smallest_difference(findings.pairs, len(image_set)),
        "latency": latency,
        "notes": findings.notes,
        "answers": findings.answers,
    }


def _plain(value: Any) -> Any:
    """An option as JSON can hold it."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
