"""A run folder that nobody measured: the findings of `tests.made_run` with images and names of one's own, written as by a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np

from benchmark.accuracy.metrics import measure
from benchmark.accuracy.pairs import OTHER_ENSEMBLES, compare_pairs
from benchmark.findings import Findings
from benchmark.options import Options
from benchmark.report import run_files
from benchmark.report.html.page import write_run_page
from benchmark.results import Results, read_results
from core.files import final_run_folder, run_folder
from ensemble.rules.combination import combine
from models.runtimes.onnx_runtime import CPU
from tests import made_run

MODELS = ("alpha", "beta")


def findings(
    singles: Sequence[str] = MODELS, class_names: Sequence[str] = tuple("abcdefghij"), files: Sequence[str] = (), side: int = 8
) -> Findings:
    """Findings over 1,000 images of `side` pixels, each of its class's grey."""
    found = made_run.findings(tuple(singles), batch_sizes=(1, 32))
    shades = (25 * made_run.LABELS).astype(np.uint8)
    images_u8 = np.broadcast_to(shades[:, None, None, None], (len(shades), side, side, 3))
    images = dataclasses.replace(found.image_set, images_u8=images_u8, class_names=tuple(class_names), files=tuple(files))
    predictions = dict(found.predictions)
    for name, ensemble in found.ensembles.items():  # there they are made up, too
        logits, _ = combine(ensemble.how, [predictions[member].logits for member in ensemble.members])
        predictions[name] = dataclasses.replace(predictions[name], logits=logits)
    entries = [
        dataclasses.replace(entry, accuracy=measure(predictions[entry.name], made_run.LABELS))
        if entry.name in predictions
        else entry
        for entry in found.entries
    ]
    right = {name: kept.predicted() == made_run.LABELS for name, kept in predictions.items()}
    pairs = compare_pairs(right, list(singles), {name: one.members for name, one in found.ensembles.items()}, CPU)
    return dataclasses.replace(
        found,
        image_set=images,
        predictions=predictions,
        entries=entries,
        pairs=[pair for pair in pairs if pair.family != OTHER_ENSEMBLES],
        more_pairs=[pair for pair in pairs if pair.family == OTHER_ENSEMBLES],
    )


def write_folder(results_dir: Path, found: Findings | None = None, page: bool = True) -> Results:
    """The results of such a run, read from the folder that was written for it, with its page unless `page` is false."""
    found = found or findings()
    with (
        mock.patch.object(run_files, "sha256_of_model", lambda path: path.stem),
        mock.patch.object(run_files, "write_plots", lambda folder, results: []),
        run_folder("benchmark", results_dir) as folder,
    ):
        results = run_files.write_run(folder, found, Options(batch_sizes=(1, 32)))
        if page:
            write_run_page(folder, results, found.image_set)
    return read_results(final_run_folder(folder))
