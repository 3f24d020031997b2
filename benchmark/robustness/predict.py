"""Every model on every corrupted version of the images, each version made once for all models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmark.accuracy.supplied import by_names
from benchmark.candidates import Candidate
from benchmark.findings import Findings
from benchmark.robustness.table import Robustness
from benchmark.robustness.wanted import Wanted
from core.console import print_line, progress
from core.decimals import counted
from core.records import Float32Array, ImageSet, UInt8Array
from data.corruptions.registry import SEVERITIES
from ensemble.rules.combination import combine
from models.runtimes.opening import open_file

Say = Callable[[UInt8Array], Float32Array]  # images to logits


def predict_versions(findings: Findings, wanted: Wanted) -> Robustness:
    """Which model is right about which version of the images; models known only by their predictions are left out, with a note."""
    chosen, image_set, versions = wanted.chosen, wanted.image_set, wanted.versions
    models = speaking(findings, image_set)
    of_ensembles = {name: one for name, one in findings.ensembles.items() if name not in models and set(one.members) <= set(models)}
    names = [*models, *of_ensembles]
    found = Robustness(
        versions.what,
        versions.counted,
        wanted.baseline,
        {name: findings.predictions[name].predicted()[chosen] == image_set.labels for name in names},
        {name: {corruption: np.zeros((len(SEVERITIES), len(chosen)), bool) for corruption in versions.names} for name in names},
    )
    n_versions = len(versions.names) * len(SEVERITIES)
    with progress("doing") as display:
        plan = f"{counted(len(chosen), 'image')} in {n_versions} versions by {counted(len(models), 'model')}"
        print_line(display, f"{versions.what}: {plan}, {len(chosen) * n_versions * len(models):,} predictions")
        task = display.add_task("corrupted versions", total=n_versions * len(models), doing="")
        for corruption in versions.names:
            for severity in SEVERITIES:
                display.update(task, doing=f"{corruption} {severity}")
                images_u8, logits = versions.make(corruption, severity), dict[str, Float32Array]()
                for name, say in models.items():
                    logits[name] = say(images_u8)
                    display.advance(task)
                for name, one in of_ensembles.items():
                    logits[name] = combine(one.how, [logits[member] for member in one.members])[0]
                for name in names:
                    found.right[name][corruption][severity - 1] = logits[name].argmax(axis=1) == image_set.labels
    silent = [candidate.name for candidate in findings.candidates if candidate.name not in models]
    findings.notes += [f"{name}: only its predictions are known, so it has no row of robustness" for name in silent]
    n_images = len(findings.image_set)
    if len(chosen) < n_images:
        findings.notes.append(
            f"robustness is of {len(chosen):,} of the {n_images:,} images, drawn by --seed; --corrupt {n_images} takes all"
        )
    return found


def can_speak(candidate: Candidate) -> bool:
    """Whether a model can be run on new images, not only looked up in given predictions."""
    return candidate.given is None or candidate.given.classifier is not None


def speaking(findings: Findings, image_set: ImageSet) -> dict[str, Say]:
    """A function from images to logits for each model that can be run, by name; the classes are those of `image_set`.

    With ensembles of views: their logits cannot be computed from their member's.
    """
    found = {candidate.name: _say(findings, candidate, image_set) for candidate in findings.candidates if can_speak(candidate)}
    of_views = [name for name, one in findings.ensembles.items() if one.is_of_views]
    return found | {name: _file_says(findings, findings.files[name], image_set) for name in of_views}


def said_of(findings: Findings, image_set: ImageSet, what: str) -> dict[str, Float32Array]:
    """Logits by name for other images, of every model that can be run and ensembles of these; what: words for the progress bar."""
    logits: dict[str, Float32Array] = {}
    with progress("doing") as display:
        models = speaking(findings, findings.image_set)
        task = display.add_task(what, total=len(models), doing="")
        for name, say in models.items():
            display.update(task, doing=name)
            logits[name] = say(image_set.images_u8)
            display.advance(task)
    for name, one in findings.ensembles.items():
        if name not in models and set(one.members) <= set(models):
            logits[name] = np.asarray(combine(one.how, [logits[member] for member in one.members])[0], dtype=np.float32)
    return logits


def _file_says(findings: Findings, path: Path, image_set: ImageSet) -> Say:
    opened = open_file(path, findings.predictions_provider, findings.threads)
    return lambda images_u8: opened.predicted(images_u8, image_set.n_classes).outputs.logits


def _say(findings: Findings, candidate: Candidate, image_set: ImageSet) -> Say:
    n_classes, function = image_set.n_classes, candidate.given.classifier if candidate.given is not None else None
    if function is None:
        return _file_says(findings, candidate.file, image_set)
    columns = by_names(function.card.class_names, image_set, f"the function {candidate.name}")
    return lambda images_u8: function.predicted(images_u8, n_classes).outputs.logits[:, columns]
