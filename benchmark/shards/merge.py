"""`python -m benchmark merge`: the run folder that one benchmark of all images would make, from the predictions of its shards."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli import HelpWithDefaults, Parser, add_run_flag, fraction
from core.errors import UserError, few
from ensemble.rules.registry import DEFAULT, RULES

if TYPE_CHECKING:
    from benchmark.ensembles import Plan
    from benchmark.findings import Findings
    from benchmark.options import Options
    from benchmark.results import Results
    from benchmark.shards.plan import Asked, Work
    from core.records import Float32Array
    from models.runtimes.base import Provider


def main(arguments: Sequence[str]) -> int:
    """Merge, and print the comparison as a benchmark does."""
    options = _parser().parse_args(arguments)
    results = merge(options)
    from benchmark.report.terminal import print_report
    from core.console import print_lines

    print_report(results)
    print_lines([f"results: {results.folder}", *results.answers])
    return 0


def merge(asked_for: Namespace) -> Results:
    """The results of the shards in `asked_for.folder`; its tables are those of one run over all images, to the last bit.

    UserError if shards are missing, or differ in models or images.
    """
    from benchmark.accuracy.judging import add_ensembles_and_judge
    from benchmark.accuracy.predictions import predict_validation
    from benchmark.report.run_files import write_run
    from benchmark.run import asked_on_validation, write_report
    from benchmark.shards.images import pixels_of
    from benchmark.shards.plan import PLAN, open_work, read_plan, require_same
    from core.files import run_folder

    folder = asked_for.folder
    key, asked, provider = read_plan(folder)
    elsewhere = {"data": asked_for.data, "models": tuple(map(str, asked_for.models))}
    asked = replace(asked, out=str(folder), **{name: value for name, value in elsewhere.items() if value})
    _require_all(folder, asked.n_shards)
    try:
        work = open_work(asked)
    except UserError as error:
        if asked_for.data or asked.data not in str(error):
            raise
        where = f"{folder / PLAN} names {asked.data}, which cannot be read as the data of these shards"
        raise UserError(f"{where}; pass --data where they are now ({error})") from error
    require_same(key, work.key, folder)
    logits, images_sha256 = _read_shards(work, folder, key)
    options = _options(asked, asked_for)
    findings, planned = _findings(work, provider, options, images_sha256, fingerprint=not asked_for.no_fingerprint)
    _add_predictions(findings, logits)
    with run_folder("benchmark", options.out) as made, tempfile.TemporaryDirectory() as fused_folder:
        predict_validation(findings, asked_on_validation(findings, planned))
        add_ensembles_and_judge(findings, planned, Path(fused_folder))
        results = write_run(made, findings, options)
        if options.report:
            write_report(made, results, findings, lambda indices: pixels_of(work, indices))
        return results


def _options(asked: Asked, asked_for: Namespace) -> Options:
    """The options of the single run that would give the same results."""
    from benchmark.options import Options

    same = {
        name: getattr(asked, name) for name in ("data", "split", "limit", "seed", "resize", "skip_damaged", "device", "threads")
    }
    own = {name: getattr(asked_for, name) for name in ("out", "max_error", "slices")}
    rules = getattr(asked_for, "ensemble", None)
    ensemble = () if rules is None else tuple(dict.fromkeys(rules)) or (DEFAULT,)
    models, report = tuple(map(Path, asked.models)), getattr(asked_for, "report", True)
    return Options(models=models, ensemble=ensemble, report=report, time_budget_s=0, **same, **own)


def _findings(
    work: Work, provider: Provider, options: Options, images_sha256: Sequence[str], *, fingerprint: bool
) -> tuple[Findings, list[Plan]]:
    """The findings of a run before it predicts anything, and the ensembles to be made."""
    from benchmark.ensembles import N_FUSION_IMAGES, plans, tuned_images
    from benchmark.findings import Findings
    from benchmark.shards.images import image_set
    from core.environment import available_cores
    from data.matching import fingerprint_notes

    asked, candidates = work.asked, work.candidates
    planned, plan_notes = plans(candidates, options.ensemble)
    tuned_on, tuned_notes = tuned_images(work.dataset, candidates, planned, options)
    looks_at_all = options.slices or any(RULES[plan.rule].is_of_views for plan in planned)
    n_kept = len(work.chosen) if looks_at_all else N_FUSION_IMAGES
    images = image_set(work, images_sha256, n_kept, fingerprint=fingerprint, names=options.report)
    whole = fingerprint and asked.limit is None and asked.split == work.dataset.source(asked.split)
    cards = [candidate.card.trained() for candidate in candidates]
    seen = "train" in work.dataset.available and asked.split != "train"
    notes = [f"not checked: whether {asked.split} images are also training images (python -m data show looks for them)"] * seen
    notes += [*work.notes, *plan_notes, *(fingerprint_notes(cards, asked.split, images.sha256) if whole else []), *tuned_notes]
    threads = asked.threads or available_cores()
    made = Findings(images, candidates, [provider], threads, tuned_on=tuned_on, max_error=options.max_error, notes=notes)
    return made, planned


def _add_predictions(findings: Findings, logits: Sequence[Float32Array]) -> None:
    from benchmark.accuracy.predictions import add_singles
    from core.records import Predictions

    names, images = [candidate.name for candidate in findings.candidates], findings.image_set
    found = {name: Predictions(name, images.split, images.sha256, own) for name, own in zip(names, logits, strict=True)}
    add_singles(findings, found)


def _require_all(folder: Path, n_shards: int) -> None:
    from benchmark.shards.plan import missing

    absent = [f"{shard + 1}/{n_shards}" for shard in missing(folder, n_shards)]
    if absent:
        raise UserError(
            f"{folder} lacks {len(absent)} of {n_shards} shards: {few(absent)}; make them with python -m benchmark predict … "
            f"--shard {absent[0]} --out {shlex.quote(str(folder))}"
        )


def _read_shards(work: Work, folder: Path, key: dict[str, Any]) -> tuple[list[Float32Array], list[str]]:
    """The logits of each model for all images, and the fingerprint of each shard's images."""
    import numpy as np

    from benchmark.shards.plan import read_shard, shard_file
    from core.records import new_array

    n_classes, n_shards = len(work.class_names), work.asked.n_shards
    logits = [new_array((len(work.chosen), n_classes), np.float32) for _ in work.candidates]
    sha256s = []
    for shard in range(n_shards):
        path, where = shard_file(folder, shard, n_shards), work.images_of(shard)
        arrays = read_shard(path, key)
        _require_logits(path, arrays, len(logits), (where.stop - where.start, n_classes))
        for index, own in enumerate(logits):
            own[where] = arrays[f"logits_{index}"]
        sha256s.append(str(arrays["images_sha256"]))
    return logits, sha256s


def _require_logits(path: Path, arrays: dict[str, Any], n_models: int, shape: tuple[int, int]) -> None:
    """UserError unless a shard has finite logits of this shape for each model, and the fingerprint of its images."""
    import numpy as np

    wanted = [arrays[name] for name in (f"logits_{index}" for index in range(n_models)) if name in arrays]
    of_kind = len(wanted) == n_models and all(own.dtype == np.float32 and own.shape == shape for own in wanted)
    if not of_kind or "images_sha256" not in arrays or not all(np.isfinite(own).all() for own in wanted):
        raise UserError(
            f"{path} is not a valid shard (it needs finite logits of {n_models} models, each {shape[0]:,} × {shape[1]}); "
            "remove it and predict it again"
        )


def _parser() -> Parser:
    command = Parser(
        prog="python -m benchmark merge",
        description="The tables of one benchmark over all images, from the shards that python -m benchmark predict made.",
        formatter_class=HelpWithDefaults,
    )
    add = command.add_argument
    add("folder", type=Path, metavar="DIR", help="the --out of python -m benchmark predict")
    add(
        "--ensemble",
        nargs="*",
        choices=tuple(RULES),
        default=argparse.SUPPRESS,
        help=f"add ensembles as python -m benchmark does, by {DEFAULT} if no rule is named; validation images, on which some are "
        "tuned, are predicted here",
    )
    add("--max-error", type=fraction, metavar="X", help="answer only if sure enough that at most X of the answers are wrong")
    add("--slices", action="store_true", help="also accuracy by brightness, contrast, sharpness and original size")
    add("--no-report", dest="report", action="store_false", default=argparse.SUPPRESS, help="leave out report.html")
    add("--data", metavar="NAME", help="where the same images are now, if they were moved since")
    add("--models", type=Path, nargs="+", default=[], metavar="FILE", help="the same files, if they were moved since")
    add("--no-fingerprint", action="store_true", help="do not decode all images again to check that they are the same")
    add_run_flag(command)
    return command
