"""Turns `Findings` into `Results`, and writes the files of the run folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.accuracy.calibration import calibration_rows
from benchmark.accuracy.metrics import measure
from benchmark.accuracy.pairs import compare_pairs, smallest_difference
from benchmark.candidates import Candidate
from benchmark.costs.table import cost_rows, with_costs
from benchmark.findings import Findings
from benchmark.latency.pairs import compare_latencies
from benchmark.ood.scores import ood_rows
from benchmark.options import Options
from benchmark.rejects.thresholds import Judged, reject_rows
from benchmark.report import tables
from benchmark.report.advice import Answer, advice
from benchmark.report.pareto import mark_front
from benchmark.report.plots import write_plots
from benchmark.report.tables import Pair
from benchmark.report.verdicts import verdicts_of
from benchmark.results import Results
from benchmark.robustness.flips import flip_pairs, flip_rows, flip_sentences
from benchmark.robustness.table import robustness_pairs, robustness_rows, summary_rows, with_robustness
from benchmark.settings.table import settings_tables
from benchmark.slices.left_out import exclusion_rows
from benchmark.slices.quarters import slice_rows
from core.environment import environment
from core.files import final_run_folder, sha256_of_file, write_json
from core.records import ImageSet, Predictions
from ensemble.rules.combination import combine
from models.graph.external_data import sha256_of_model
from models.runtimes.registry import libraries

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def write_run(folder: Path, findings: Findings, options: Options) -> Results:
    """Write every table, picture and prediction into `folder`, a run folder not yet complete; returns the results."""
    results = results_of(findings, options, final_run_folder(folder))
    for name, frame in results.tables.items():
        tables.write_csv(frame, folder / name)
    _write_predictions(folder / "predictions", findings)
    notes = write_plots(folder / "plots", results)
    results = _with_facts(results, notes=[*results.notes, *notes])
    write_json(folder / "run.json", results.run)
    return results


def results_of(findings: Findings, options: Options, folder: Path) -> Results:
    """The results for `folder`, with answers and Pareto front; nothing is written."""
    stored = {name: tables.as_stored(frame) for name, frame in _tables(findings, options).items()}
    results = Results(folder, as_json(_facts(findings, options)), stored)
    answers = advice(results)
    front = mark_front(results.comparison, verdicts_of(results))
    last = {"comparison.csv": tables.as_stored(front), "latency_pairs.csv": _with_pairs_of(answers, findings, results)}
    results = dataclasses.replace(results, tables={**stored, **last})
    notes = [*results.notes, *flip_sentences(results.flips, results.flips_pairs)]
    return _with_facts(results, answers=[answer.sentence for answer in answers], notes=notes, rejects=_thresholds(results))


def _thresholds(results: Results) -> dict[str, Any] | None:
    """The stated error and each model's threshold, None if there is none; None in place of all if not asked for."""
    rows = results.rejects
    known = {row["model"]: None if row["threshold"] != row["threshold"] else row["threshold"] for row in rows.to_dict("records")}
    return {"max_error": float(rows["max_error"].iloc[0]), "thresholds": known} if known else None


def _with_facts(results: Results, **facts: Any) -> Results:
    return dataclasses.replace(results, run={**results.run, **as_json(facts)})


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """A value as read back from `run.json`."""
    return dict(json.loads(json.dumps(value)))


def _tables(findings: Findings, options: Options) -> dict[str, pd.DataFrame]:
    """Every table by its file name; the columns of the Pareto front are still empty."""
    image_set, class_names = findings.image_set, findings.image_set.class_names
    accuracies = [entry.accuracy for entry in findings.entries if entry.kind != "oracle"]
    device_names = {provider.name: provider.device_name for provider in findings.providers}
    own = {where: measure(predictions, image_set.labels) for where, predictions in findings.own_predictions.items()}
    placements = findings.latency_run.placements if findings.latency_run else {}
    comparison = tables.comparison_rows(findings.entries, findings.latencies, device_names, image_set, own)
    samples = findings.latency_run.samples if findings.latency_run else []
    costs = cost_rows(comparison, findings.graph_costs, samples, options.usd_per_hour)
    robustness = _robustness(findings)
    frames = {
        "comparison.csv": with_robustness(with_costs(comparison, costs), robustness.get("robustness_summary.csv")),
        "costs.csv": costs,
        "per_class.csv": tables.per_class_rows(accuracies, class_names),
        "confusion.csv": tables.confusion_rows(accuracies, class_names),
        "latency.csv": tables.latency_rows(findings.latencies, findings.providers, placements),
        "pairs.csv": tables.pair_rows([*findings.pairs, *findings.more_pairs, *_pairs_of_own_predictions(findings)]),
        "latency_pairs.csv": tables.latency_pair_rows(findings.latency_pairs),
        "latency_samples.csv.gz": tables.sample_rows(samples),
    }
    frames |= robustness | _flips(findings)
    if findings.settings_run is not None:
        frames |= settings_tables(findings.settings_run.in_order())
    if findings.left_out is not None:
        right = {name: predictions.predicted() == image_set.labels for name, predictions in findings.predictions.items()}
        frames["exclusions.csv"] = exclusion_rows(findings.left_out, right, findings.right_of_left_out)
    if findings.foreign is not None:
        on_own = {name: predictions.logits for name, predictions in findings.predictions.items()}
        frames["ood.csv"] = ood_rows(on_own, findings.foreign_logits, findings.foreign.name)
    if findings.max_error is not None and findings.tuned_on is not None:
        frames["rejects.csv"] = reject_rows(_on_validation(findings, findings.tuned_on), _on_split(findings), findings.max_error)
    if options.slices:
        right = {name: predictions.predicted() == image_set.labels for name, predictions in findings.predictions.items()}
        frames["slices.csv"] = slice_rows(image_set.images_u8, right, image_set.original_sizes)
    if findings.calibration:
        frames["ensembles.csv"] = calibration_rows(findings.calibration)
    if findings.cross_checks:
        frames["loadgen.csv"] = tables.cross_check_rows(findings.cross_checks)
    return frames


def _robustness(findings: Findings) -> dict[str, pd.DataFrame]:
    """The three tables of corrupted images, if there were any."""
    found = findings.robustness
    if found is None:
        return {}
    members_of = {name: ensemble.members for name, ensemble in findings.ensembles.items()}
    return {
        "robustness.csv": robustness_rows(found),
        "robustness_summary.csv": summary_rows(found),
        "robustness_pairs.csv": robustness_pairs(found, [candidate.name for candidate in findings.candidates], members_of),
    }


def _flips(findings: Findings) -> dict[str, pd.DataFrame]:
    """The two tables of perturbed sequences, if there were any."""
    found = findings.flips
    if found is None:
        return {}
    members_of = {name: ensemble.members for name, ensemble in findings.ensembles.items()}
    singles = [candidate.name for candidate in findings.candidates]
    return {"flips.csv": flip_rows(found), "flips_pairs.csv": flip_pairs(found, singles, members_of)}


def _on_validation(findings: Findings, tuned_on: ImageSet) -> dict[str, Judged]:
    """The predictions of every model and ensemble for the images that thresholds are chosen on."""
    found = dict(findings.validation)
    for name, ensemble in findings.ensembles.items():
        if ensemble.is_of_views:
            continue  # predicted like a single model
        logits, _ = combine(ensemble.how, [found[member].logits for member in ensemble.members])
        found[name] = Predictions(name, tuned_on.split, tuned_on.sha256, logits)
    return {name: Judged(predictions, tuned_on.labels) for name, predictions in found.items()}


def _on_split(findings: Findings) -> dict[str, Judged]:
    return {name: Judged(predictions, findings.image_set.labels) for name, predictions in findings.predictions.items()}


def _pairs_of_own_predictions(findings: Findings) -> list[Pair]:
    """The tests of every pair on the predictions of each provider that rounds differently."""
    labels = findings.image_set.labels
    right: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for (model, provider), predictions in findings.own_predictions.items():
        right.setdefault(provider, {})[model] = predictions.predicted() == labels
    singles = [candidate.name for candidate in findings.candidates]
    members_of = {name: ensemble.members for name, ensemble in findings.ensembles.items()}
    pairs = []
    for provider, by_model in right.items():
        own = [name for name in singles if name in by_model]  # a runtime may take some models only
        ensembles = {name: members for name, members in members_of.items() if {name, *members} <= set(by_model)}
        pairs += compare_pairs(by_model, own, ensembles, provider)
    return pairs


def _with_pairs_of(answers: Sequence[Answer], findings: Findings, results: Results) -> pd.DataFrame:
    """`latency_pairs.csv` with the pairs of models that an answer names, if they are not there yet."""
    there = {(pair.model_a, pair.model_b) for pair in findings.latency_pairs}
    known = list(zip(results.pairs["model_a"], results.pairs["model_b"], strict=True))
    named = [set(pair) for answer in answers for pair in combinations(answer.models, 2)]
    missing = [pair for pair in dict.fromkeys(known) if set(pair) in named and pair not in there]
    if not missing or findings.latency_run is None:
        return results.latency_pairs
    more = compare_latencies(findings.latency_run.in_order(), missing)
    return tables.as_stored(tables.latency_pair_rows([*findings.latency_pairs, *more]))


def _write_predictions(folder: Path, findings: Findings) -> None:
    """Logits and labels of single models and ensembles of views, validation images included: enough to make every table again."""
    folder.mkdir()
    of_views = [name for name, ensemble in findings.ensembles.items() if ensemble.is_of_views]
    for name in (*(candidate.name for candidate in findings.candidates), *of_views):
        _write_logits(folder / f"{name}.npz", findings.predictions[name], findings.image_set)
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
        "environment": environment(libraries()),
        "providers": [dataclasses.asdict(provider) for provider in findings.providers],
        "threads": findings.threads,
        "predictions_provider": findings.predictions_provider,
        "dataset": {
            "name": image_set.name,
            "split": image_set.split,
            "n_images": len(image_set),
            "sha256": image_set.sha256,
            "class_names": list(image_set.class_names),
        },
        "models": [
            {"name": c.name, "path": str(c.path or ""), "sha256": _sha256(c), "card": c.card.to_dict()} for c in findings.candidates
        ],
        "ensembles": [{"name": name, "members": e.members, **dataclasses.asdict(e.how)} for name, e in findings.ensembles.items()],
        "tuned_on": None if tuned is None else {"split": tuned.split, "n_images": len(tuned), "sha256": tuned.sha256},
        "smallest_difference": smallest_difference(findings.pairs, len(image_set)),
        "latency": latency,
        "notes": findings.notes,
        "answers": [],
    }


def _sha256(candidate: Candidate) -> str:
    """Of the model's file, or of the file of its predictions; empty for a function."""
    if candidate.given is None:
        return sha256_of_model(candidate.file)
    return sha256_of_file(candidate.path) if candidate.path else ""


def _plain(value: Any) -> Any:
    """An option as JSON can hold it."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
