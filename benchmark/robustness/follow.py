"""Every model on every frame of perturbed sequences, a part of the images at a time."""

from __future__ import annotations

import numpy as np

from benchmark.findings import Findings
from benchmark.robustness.flips import Flips, flip_shares
from benchmark.robustness.predict import speaking
from benchmark.robustness.wanted import WantedSequences
from core.console import print_line, progress
from core.decimals import counted
from core.records import Float32Array
from data.corruptions.sequences import COUNTED, PUBLISHED
from ensemble.rules.combination import combine

AT_ONCE = 64  # sequences: about 2,000 images of 3 KB


def predict_sequences(findings: Findings, wanted: WantedSequences) -> Flips:
    """How often each model's answer flips; models known only by their predictions are left out, with a note."""
    sequences, image_set = wanted.sequences, findings.image_set
    models = speaking(findings, image_set)
    of_ensembles = {name: one for name, one in findings.ensembles.items() if name not in models and set(one.members) <= set(models)}
    n_images, names = len(sequences.indices), [*models, *of_ensembles]
    found = Flips(
        sequences.counted,
        wanted.baseline,
        {perturbation: sequences.n_frames(perturbation) for perturbation in sequences.names},
        {name: {perturbation: np.zeros(n_images) for perturbation in sequences.names} for name in names},
    )
    n_frames = sum(found.n_frames.values())
    with progress("doing") as display:
        plan = f"{counted(n_images, 'image')} in {n_frames} frames by {counted(len(models), 'model')}"
        print_line(display, f"{PUBLISHED}: {plan}, {n_images * n_frames * len(models):,} predictions")
        task = display.add_task("perturbed sequences", total=n_images * n_frames * len(models), doing="")
        for perturbation in sequences.names:
            display.update(task, doing=perturbation)
            for start in range(0, n_images, AT_ONCE):
                frames = sequences.part(perturbation, start, start + AT_ONCE)
                images_u8, logits = frames.reshape(-1, *frames.shape[2:]), dict[str, Float32Array]()
                for name, say in models.items():
                    logits[name] = say(images_u8)
                    display.advance(task, len(images_u8))
                for name, one in of_ensembles.items():
                    logits[name] = combine(one.how, [logits[member] for member in one.members])[0]
                for name in names:
                    predicted = logits[name].argmax(axis=1).reshape(frames.shape[:2])
                    found.shares[name][perturbation][start : start + len(frames)] = flip_shares(predicted, perturbation)
    findings.notes += _notes(findings, found, n_images)
    return found


def _notes(findings: Findings, found: Flips, n_images: int) -> list[str]:
    """Notes: absent models, number of images, and whether the mean can be compared with published ones."""
    silent = [candidate.name for candidate in findings.candidates if candidate.name not in found.shares]
    notes = [f"{name}: only its predictions are known, so it has no row of flips" for name in silent]
    n_all = len(findings.image_set)
    if n_images < n_all:
        notes.append(f"flips are of {n_images:,} of the {n_all:,} images, drawn by --seed; --perturbed {n_all} takes all")
    absent = [name for name in COUNTED if name not in found.counted]
    if absent:
        notes.append(
            f"the mean flip probability is over {len(found.counted)} of {PUBLISHED}'s {len(COUNTED)} perturbations, without "
            f"{', '.join(absent)}: not comparable with published figures"
        )
    return notes
