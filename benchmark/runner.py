"""One benchmark from candidates to a run folder: predictions, accuracy, ensembles, latency, tables, plots."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import latency as timing
from benchmark.accuracy import measure
from benchmark.candidates import Candidate, check_classes, ensemble_name, find_candidates, subsets
from benchmark.command import Options
from benchmark.images import images_for
from benchmark.latency_summary import LatencySummary, summarise
from benchmark.pairs import compare_pairs
from benchmark.predict import PredictionRun, predict
from benchmark.report import output_console, print_report
from benchmark.sessions import Provider, choose_providers, default_threads
from benchmark.tables import Entry, Pair
from core.environment import environment
from core.errors import UserError
from core.files import final_run_folder, run_folder, sha256_of_file, write_json
from core.progress import progress
from core.records import ImageSet, Predictions
from ensemble.fuse import fuse, load_members
from ensemble.rules import log_probabilities, mean_probabilities
from models.onnx_file import save_model

FUSION_TOLERANCE = 1e-4
N_FUSION_IMAGES = 256


@dataclass
class Findings:
    """What a run has found so far."""

    image_set: ImageSet
    providers: list[Provider]
    threads: int
    entries: list[Entry] = field(default_factory=list)
    predictions: dict[str, Predictions] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    ensembles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    latency_run: timing.LatencyRun | None = None
    latencies: list[LatencySummary] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_benchmark(options: Options) -> Path:
    """Run what `options` ask for, print the comparison, and return the finished run folder."""
    threads = options.threads or default_threads()
    candidates, notes = find_candidates(options.models, options.models_dir, _dataset_name(options))
    groups = subsets(candidates) if options.ensemble else []
    cards = [candidate.card for candidate in candidates]
    dataset, image_set, data_notes = images_for(options.data, options.data_dir, options.split, options.limit, options.seed, cards)
    check_classes(candidates, dataset)
    providers, provider_notes = choose_providers(options.device, candidates[0].path, threads)
    findings = Findings(image_set, providers, threads, notes=[*notes, *data_notes, *provider_notes])
    with run_folder("benchmark", options.out) as folder, tempfile.TemporaryDirectory() as fused_folder:
        _predict_singles(findings, candidates, options.profile)
        for group in groups:
            _add_ensemble(findings, group, Path(fused_folder))
        _compare(findings, [candidate.name for candidate in candidates])
        if options.time_budget_s > 0:
            _time(findings, options)
        final = final_run_folder(folder)
        comparison = write_run(folder, findings, options, candidates)
    where = f"{image_set.name}, {len(image_set):,} {image_set.split} images"
    print_report(comparison, findings.pairs, findings.notes, where)
    output_console().print(f"results: {final}", soft_wrap=True)
    return final


def _predict_singles(findings: Findings, candidates: Sequence[Candidate], profile: bool) -> None:
    """Predict the split once per model, keep the predictions and measure their accuracy."""
    labels = findings.image_set.labels
    runs: list[PredictionRun] = []
    with progress() as display:
        for candidate in candidates:
            task = display.add_task(f"predicting {candidate.name}", total=len(labels))
            run = predict(
                candidate.path,
                candidate.name,
                findings.image_set,
                findings.providers[0].name,
                findings.threads,
                lambda n, task=task: display.advance(task, n),  # type: ignore[misc]
            )
            runs.append(run)
            findings.predictions[candidate.name] = run.predictions
            findings.files[candidate.name] = candidate.path
            accuracy = measure(run.predictions, labels)
            card = candidate.card
            findings.entries.append(Entry(candidate.name, "single", (), card.backend, card.precision, candidate.size_mb, accuracy))
    if profile:
        inside_s, total_s = sum(run.session_run_s for run in runs), sum(run.total_s for run in runs)
        findings.notes.append(
            f"predictions took {total_s:.2f} s, {inside_s:.2f} s of it inside session.run: ratio {total_s / inside_s:.4f}"
        )


def _add_ensemble(findings: Findings, members: Sequence[Candidate], fused_folder: Path) -> None:
    """Accuracy from the members' kept predictions; one fused file, held to these, for latency."""
    name = ensemble_name(members)
    member_names = tuple(member.name for member in members)
    kept = mean_probabilities([findings.predictions[member].logits for member in member_names])
    image_set = findings.image_set
    predictions = Predictions(name, image_set.split, image_set.sha256, log_probabilities(kept))
    fused, card = fuse(load_members([member.path for member in members]), name)
    path = fused_folder / f"ensemble_{len(findings.ensembles)}.onnx"
    save_model(fused, card, path)
    _check_fusion(path, name, image_set, kept, findings)
    entry = Entry(
        name,
        "ensemble",
        member_names,
        card.backend,
        card.precision,
        path.stat().st_size / 1e6,
        measure(predictions, image_set.labels),
    )
    findings.entries.append(entry)
    findings.predictions[name] = predictions
    findings.files[name] = path
    findings.ensembles[name] = member_names


def _check_fusion(path: Path, name: str, image_set: ImageSet, kept: np.ndarray, findings: Findings) -> None:
    """UserError unless the fused graph gives the mean of the members' kept probabilities within 1e-4."""
    few = dataclasses.replace(image_set, images_u8=image_set.images_u8[:N_FUSION_IMAGES], labels=image_set.labels[:N_FUSION_IMAGES])
    fused = predict(path, name, few, findings.providers[0].name, findings.threads).graph_probabilities
    difference = float(np.abs(fused - kept[: len(few)]).max())
    if difference > FUSION_TOLERANCE:
        raise UserError(f"the fused graph of {name} differs from the mean of its members by {difference:.1e}; export them again")


def _compare(findings: Findings, singles: Sequence[str]) -> None:
    """Verdicts on every pair, and the oracle that shows what an ensemble could still gain."""
    labels = findings.image_set.labels
    right = {name: predictions.predicted() == labels for name, predictions in findings.predictions.items()}
    findings.pairs = compare_pairs(right, singles, findings.ensembles)
    if findings.ensembles:
        any_right = np.any([right[name] for name in singles], axis=0)
        findings.notes.append(
            f"an oracle that picks the right member for each image would reach {any_right.mean():.2%}: "
            "what no average of these members can exceed by much"
        )


def _time(findings: Findings, options: Options) -> None:
    wanted = timing.configurations(list(findings.files.items()), findings.providers, options.batch_sizes, findings.threads)
    with progress("doing") as display:
        task = display.add_task("timing", total=round(options.time_budget_s), doing="")

        def report(elapsed_s: float, doing: str) -> None:
            display.update(task, completed=min(round(elapsed_s), round(options.time_budget_s)), doing=doing)

        images_u8 = findings.image_set.images_u8
        findings.latency_run = timing.run_experiment(wanted, images_u8, options.time_budget_s, options.seed, report)
    findings.latencies = summarise(findings.latency_run.samples)
    findings.notes += findings.latency_run.notes
    findings.notes += [
        f"{s.model}, batch {s.batch_size}, {s.transfer}: {s.stability_note}" for s in findings.latencies if s.stability_note
    ]


def write_run(folder: Path, findings: Findings, options: Options, candidates: Sequence[Candidate]) -> Any:
    """Write every file of the run into `folder`; returns the comparison table."""
    from benchmark import tables
    from benchmark.plots import write_plots

    image_set, class_names = findings.image_set, findings.image_set.class_names
    accuracies = [entry.accuracy for entry in findings.entries]
    device_names = {provider.name: provider.device_name for provider in findings.providers}
    comparison = tables.comparison_rows(findings.entries, findings.latencies, device_names, image_set)
    tables.write_csv(comparison, folder / "comparison.csv")
    tables.write_csv(tables.per_class_rows(accuracies, class_names), folder / "per_class.csv")
    tables.write_csv(tables.confusion_rows(accuracies, class_names), folder / "confusion.csv")
    tables.write_csv(tables.latency_rows(findings.latencies), folder / "latency.csv")
    tables.write_csv(tables.pair_rows(findings.pairs), folder / "pairs.csv")
    samples = findings.latency_run.samples if findings.latency_run else []
    tables.write_csv(tables.sample_rows(samples), folder / "latency_samples.csv.gz")
    _write_predictions(folder / "predictions", findings, candidates)
    where = f"{image_set.name} {image_set.split}"
    write_plots(folder / "plots", accuracies, class_names, comparison, where)
    write_json(folder / "run.json", _facts(findings, options, candidates))
    return comparison


def _write_predictions(folder: Path, findings: Findings, candidates: Sequence[Candidate]) -> None:
    """The logits of each single model with the labels: enough to make every accuracy table again."""
    folder.mkdir()
    image_set = findings.image_set
    for candidate in candidates:
        np.savez_compressed(
            folder / f"{candidate.name}.npz",
            logits=findings.predictions[candidate.name].logits,
            labels=image_set.labels,
            class_names=np.array(image_set.class_names),
            split=np.array(image_set.split),
            dataset_sha256=np.array(image_set.sha256),
        )


def _facts(findings: Findings, options: Options, candidates: Sequence[Candidate]) -> dict[str, Any]:
    image_set, run = findings.image_set, findings.latency_run
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
            {"name": c.name, "path": str(c.path), "sha256": sha256_of_file(c.path), "card": dataclasses.asdict(c.card)}
            for c in candidates
        ],
        "latency": None
        if run is None
        else {"order_seed": run.seed, "rounds": run.rounds, "elapsed_s": run.elapsed_s, "nodes_per_provider": run.placements},
        "notes": findings.notes,
    }


def _plain(value: Any) -> Any:
    """An option as JSON can hold it."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _dataset_name(options: Options) -> str:
    """The name that the cards of models for `--data` carry."""
    from data.catalog import NAMES

    if options.data in NAMES:
        return options.data
    from data.folder import slug

    return slug(Path(options.data), reserved=NAMES)
