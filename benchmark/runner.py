"""One benchmark from candidates to a run folder: predictions, accuracy, ensembles, latency, tables, plots."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark import latency as timing
from benchmark.accuracy import measure
from benchmark.candidates import Candidate, check_classes, ensemble_name, find_candidates, subsets
from benchmark.command import Options
from benchmark.findings import Findings
from benchmark.gates import FAILED, failures, parse_gate
from benchmark.images import images_for
from benchmark.latency_pairs import compare_latencies
from benchmark.latency_summary import summarise
from benchmark.loadgen import cross_check, require_loadgen
from benchmark.pairs import compare_pairs
from benchmark.predict import PredictionRun, predict
from benchmark.report import output_console, print_report
from benchmark.run_files import write_run
from benchmark.sessions import choose_providers, default_threads
from benchmark.tables import COMPARISON_COLUMNS, Entry
from core.errors import UserError
from core.files import final_run_folder, run_folder
from core.progress import progress
from core.records import Float64Array, ImageSet, Predictions
from ensemble.fuse import fuse, load_members
from ensemble.rules import log_probabilities, mean_probabilities
from models.onnx_file import save_model

FUSION_TOLERANCE = 1e-4
N_FUSION_IMAGES = 256


def run_benchmark(options: Options) -> int:
    """Run what `options` ask for, print the comparison and where the files are; 3 where a gate fails, otherwise 0."""
    gates = [parse_gate(text, COMPARISON_COLUMNS) for text in options.fail_if]
    if options.loadgen:
        require_loadgen()
    findings, groups = prepare(options)
    with run_folder("benchmark", options.out) as folder, tempfile.TemporaryDirectory() as fused_folder:
        predict_singles(findings, options.profile)
        for group in groups:
            add_ensemble(findings, group, Path(fused_folder))
        judge(findings)
        if options.time_budget_s > 0:
            measure_latency(findings, options)
        if options.loadgen:
            check_against_loadgen(findings, options)
        comparison = write_run(folder, findings, options)
    print_report(comparison, findings)
    failed = failures(comparison, gates)
    for line in failed:
        output_console().print(f"gate failed: {line}", soft_wrap=True, markup=False)
    output_console().print(f"results: {final_run_folder(folder)}", soft_wrap=True, markup=False)
    return FAILED if failed else 0


def prepare(options: Options) -> tuple[Findings, list[tuple[Candidate, ...]]]:
    """Everything that can be wrong with what was asked for is found here, before anything is run or written."""
    threads = options.threads or default_threads()
    candidates, notes = find_candidates(options.models, options.models_dir, _dataset_name(options))
    groups = subsets(candidates) if options.ensemble else []
    cards = [candidate.card for candidate in candidates]
    dataset, image_set, data_notes = images_for(options.data, options.data_dir, options.split, options.limit, options.seed, cards)
    check_classes(candidates, dataset)
    providers, provider_notes = choose_providers(options.device, candidates[0].path, threads)
    return Findings(image_set, candidates, providers, threads, notes=[*notes, *data_notes, *provider_notes]), groups


def predict_singles(findings: Findings, profile: bool) -> None:
    """Predict the split once per model, keep the predictions and measure their accuracy."""
    labels = findings.image_set.labels
    runs: list[PredictionRun] = []
    with progress() as display:
        for candidate in findings.candidates:
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


def add_ensemble(findings: Findings, members: Sequence[Candidate], fused_folder: Path) -> None:
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
    size_mb = path.stat().st_size / 1e6
    accuracy = measure(predictions, image_set.labels)
    findings.entries.append(Entry(name, "ensemble", member_names, card.backend, card.precision, size_mb, accuracy))
    findings.predictions[name] = predictions
    findings.files[name] = path
    findings.ensembles[name] = member_names


def _check_fusion(path: Path, name: str, image_set: ImageSet, kept: Float64Array, findings: Findings) -> None:
    """UserError unless the fused graph gives the mean of the members' kept probabilities within 1e-4."""
    few = dataclasses.replace(image_set, images_u8=image_set.images_u8[:N_FUSION_IMAGES], labels=image_set.labels[:N_FUSION_IMAGES])
    fused = predict(path, name, few, findings.providers[0].name, findings.threads).graph_probabilities
    difference = float(np.abs(fused - kept[: len(few)]).max())
    if difference > FUSION_TOLERANCE:
        raise UserError(f"the fused graph of {name} differs from the mean of its members by {difference:.1e}; export them again")


def judge(findings: Findings) -> None:
    """Verdicts on every pair, and the oracle that shows how much an ensemble could still gain."""
    labels = findings.image_set.labels
    singles = [candidate.name for candidate in findings.candidates]
    right = {name: predictions.predicted() == labels for name, predictions in findings.predictions.items()}
    findings.pairs = compare_pairs(right, singles, findings.ensembles)
    if findings.ensembles:
        findings.entries.append(_oracle(findings, singles))


def _oracle(findings: Findings, singles: Sequence[str]) -> Entry:
    """Right wherever any single model is: predictions that take the true class where one has it, else the first model's."""
    labels = findings.image_set.labels
    first = findings.predictions[singles[0]]
    any_right = np.any([findings.predictions[name].predicted() == labels for name in singles], axis=0)
    predicted = np.where(any_right, labels, first.predicted())
    one_hot = np.eye(first.logits.shape[1], dtype=np.float32)[predicted]
    accuracy = measure(Predictions("oracle", first.split, first.dataset_sha256, one_hot), labels)
    # It has classes but no probabilities, so it has no likelihood and no calibration either.
    accuracy = dataclasses.replace(accuracy, nll=float("nan"), ece_15bin=float("nan"))
    return Entry("oracle", "oracle", tuple(singles), "", "", float("nan"), accuracy)


def measure_latency(findings: Findings, options: Options) -> None:
    """Time every single model and fused ensemble on every provider at every batch size."""
    wanted = timing.configurations(list(findings.files.items()), findings.providers, options.batch_sizes, findings.threads)
    budget_s = options.time_budget_s
    with progress("doing") as display:
        task = display.add_task("timing", total=round(budget_s), doing="")

        def report(elapsed_s: float, doing: str) -> None:
            display.update(task, completed=min(round(elapsed_s), round(budget_s)), doing=doing)

        findings.latency_run = timing.run_experiment(wanted, findings.image_set.images_u8, budget_s, options.seed, report)
    findings.latencies = summarise(findings.latency_run.samples)
    asked = [(pair.model_a, pair.model_b) for pair in findings.pairs]
    findings.latency_pairs = compare_latencies(findings.latency_run.samples, asked)
    findings.notes += findings.latency_run.notes


def check_against_loadgen(findings: Findings, options: Options) -> None:
    """Drive every model by MLPerf LoadGen as well, Offline at the batch size nearest to 32."""
    batch_size = min(options.batch_sizes, key=lambda size: abs(size - 32))
    with progress("doing") as display:
        task = display.add_task("LoadGen", total=None, doing="")
        findings.cross_checks = cross_check(
            list(findings.files.items()),
            findings.image_set.images_u8,
            batch_size,
            findings.threads,
            lambda doing: display.update(task, doing=doing),
        )


def _dataset_name(options: Options) -> str:
    """The name that the cards of models for `--data` carry."""
    from data.catalog import NAMES

    if options.data in NAMES:
        return options.data
    from data.folder import slug

    return slug(Path(options.data), reserved=NAMES)
