"""All that follows from the predictions of a run's single models: ensembles, verdicts on every pair, calibration, the oracle."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark.accuracy.calibration import Kept, calibrate, worse_calibrated
from benchmark.accuracy.metrics import measure, worse_than_guessing
from benchmark.accuracy.pairs import OTHER_ENSEMBLES, compare_pairs, smallest_difference_note
from benchmark.costs.graph import graph_cost
from benchmark.ensembles import Plan, add_ensemble
from benchmark.findings import Findings
from benchmark.report.tables import Entry
from core.records import Predictions, new_array


def add_ensembles_and_judge(findings: Findings, planned: Sequence[Plan], fused_folder: Path) -> None:
    """All that follows from the predictions of the single models: ensembles, what each graph costs, verdicts."""
    for plan in planned:
        add_ensemble(findings, plan, fused_folder)
    findings.graph_costs = {name: graph_cost(path) for name, path in findings.files.items()}
    judge(findings)


def judge(findings: Findings) -> None:
    """Verdicts on every pair, and the oracle that shows how much an ensemble could still gain."""
    labels = findings.image_set.labels
    singles = [candidate.name for candidate in findings.candidates]
    right = {name: predictions.predicted() == labels for name, predictions in findings.predictions.items()}
    members_of = {name: ensemble.members for name, ensemble in findings.ensembles.items()}
    pairs = compare_pairs(right, singles, members_of, findings.predictions_provider)
    findings.pairs = [pair for pair in pairs if pair.family != OTHER_ENSEMBLES]
    findings.more_pairs = [pair for pair in pairs if pair.family == OTHER_ENSEMBLES]
    ensembles = {name: (one.members, one.how) for name, one in findings.ensembles.items() if not one.is_of_views}
    tuned_on = None if findings.tuned_on is None else Kept(findings.validation, findings.tuned_on.labels)
    findings.calibration = calibrate(ensembles, Kept(findings.predictions, labels), tuned_on)
    split, accuracies = findings.image_set.split, [entry.accuracy for entry in findings.entries]
    findings.notes += worse_calibrated(findings.calibration, split)
    findings.notes += worse_than_guessing(accuracies, findings.image_set.n_classes)
    findings.notes += smallest_difference_note(findings.pairs, len(labels), split)
    if ensembles:
        members = dict.fromkeys(name for names, _ in ensembles.values() for name in names)
        findings.entries.append(_oracle(findings, list(members)))


def _oracle(findings: Findings, members: Sequence[str]) -> Entry:
    """Right wherever any member is: the true class where a member predicts it, else what the first member predicts."""
    labels = findings.image_set.labels
    first = findings.predictions[members[0]]
    any_right = np.any([findings.predictions[name].predicted() == labels for name in members], axis=0)
    predicted = np.where(any_right, labels, first.predicted())
    one_hot = new_array(first.logits.shape, np.float32)
    for start in range(0, len(predicted), 2**16):
        one_hot[start : start + 2**16] = np.eye(first.logits.shape[1], dtype=np.float32)[predicted[start : start + 2**16]]
    accuracy = measure(Predictions("oracle", first.split, first.dataset_sha256, one_hot), labels)
    # It has classes but no probabilities, so it has no likelihood and no calibration either.
    accuracy = dataclasses.replace(accuracy, scores=dict.fromkeys(accuracy.scores, float("nan")))
    return Entry("oracle", "oracle", tuple(members), "", "", float("nan"), accuracy)
