"""`python -m benchmark merge`: the run folder that one benchmark of all images would have left, from what its shards predicted."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli import HelpWithDefaults, Parser, add_run_flag
from core.errors import UserError, few, one_line
from ensemble.rules.registry import DEFAULT, untuned_rules

if TYPE_CHECKING:
    from benchmark.results import Results
    from benchmark.shards.plan import Work
    from core.records import Float32Array, ImageSet


def main(arguments: Sequence[str]) -> int:
    """Merge, and print the comparison as a benchmark does."""
    options = _parser().parse_args(arguments)
    results = merge(options)
    from benchmark.report.terminal import print_report
    from core.console import print_lines

    print_report(results)
    print_lines([f"results: {results.folder}", *results.answers])
    return 0


def merge(options: Namespace) -> Results:
    """The results of the shards in `options.folder`; its tables are those of one run over all images, to the last bit.

    UserError if shards are missing, or of other models or images than the rest.
    """
    from benchmark.accuracy.predictions import add_singles
    from benchmark.ensembles import plans
    from benchmark.findings import Findings
    from benchmark.options import Options
    from benchmark.report.run_files import write_run
    from benchmark.run import add_ensembles_and_judge
    from benchmark.shards.plan import key_sha256, open_work, read_plan, require_same
    from core.environment import available_cores
    from core.files import run_folder
    from core.records import Predictions
    from data.matching import fingerprint_notes

    key, asked, provider = read_plan(options.folder)
    asked = replace(asked, data=options.data or asked.data, models=tuple(map(str, options.models)) or asked.models)
    _require_all(options.folder, asked.n_shards)
    work = open_work(asked)
    require_same(key, work.key, str(options.folder))
    logits, images_sha256 = _read_shards(work, options.folder, key_sha256(key))
    planned, plan_notes = plans(work.candidates, options.ensemble)
    image_set = _image_set(work, images_sha256, fingerprint=not options.no_fingerprint)
    threads = asked.threads or available_cores()
    whole = not options.no_fingerprint and asked.limit is None and asked.split == work.dataset.source(asked.split)
    cards = [candidate.card.trained() for candidate in work.candidates]
    seen = "train" in work.dataset.available and asked.split != "train"
    notes = [f"not checked: whether {asked.split} images are also training images (python -m data show looks for them)"] * seen
    notes += [*work.notes, *plan_notes, *(fingerprint_notes(cards, asked.split, image_set.sha256) if whole else [])]
    findings = Findings(image_set, work.candidates, [provider], threads, notes=notes)
    names = [candidate.name for candidate in work.candidates]
    add_singles(
        findings,
        {name: Predictions(name, asked.split, image_set.sha256, own) for name, own in zip(names, logits, strict=True)},
    )
    same = {name: getattr(asked, name) for name in ("data", "split", "limit", "seed", "resize", "device", "threads")}
    models, rules = tuple(map(Path, asked.models)), tuple(options.ensemble)
    asked_for = Options(models=models, ensemble=rules, out=options.out, time_budget_s=0, report=False, **same)
    with run_folder("benchmark", options.out) as folder, tempfile.TemporaryDirectory() as fused_folder:
        add_ensembles_and_judge(findings, planned, Path(fused_folder))
        return write_run(folder, findings, asked_for)


def _require_all(folder: Path, n_shards: int) -> None:
    from benchmark.shards.plan import missing

    absent = [f"{shard + 1}/{n_shards}" for shard in missing(folder, n_shards)]
    if absent:
        raise UserError(
            f"{folder} lacks {len(absent)} of {n_shards} shards: {few(absent)}; make them with python -m benchmark predict … "
            f"--shard {absent[0]} --out {folder}"
        )


def _read_shards(work: Work, folder: Path, plan_sha256: str) -> tuple[list[Float32Array], list[str]]:
    """The logits of each model for all images, and the fingerprint of each shard's images."""
    import numpy as np

    from benchmark.shards.plan import shard_file
    from core.records import new_array

    n_classes, n_shards = len(work.class_names), work.asked.n_shards
    logits = [new_array((len(work.chosen), n_classes), np.float32) for _ in work.candidates]
    sha256s = []
    for shard in range(n_shards):
        path, where = shard_file(folder, shard, n_shards), work.images_of(shard)
        arrays = _arrays(path)
        if str(arrays.get("plan_sha256")) != plan_sha256:
            raise UserError(f"{path} is a shard of another evaluation; remove it and predict {shard + 1}/{n_shards} again")
        _require_logits(path, arrays, len(logits), (where.stop - where.start, n_classes))
        for index, own in enumerate(logits):
            own[where] = arrays[f"logits_{index}"]
        sha256s.append(str(arrays["images_sha256"]))
    return logits, sha256s


def _arrays(path: Path) -> dict[str, Any]:
    from core.files import read_npz

    try:
        return read_npz(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a valid shard ({one_line(error, 120)}); remove it and predict it again") from error


def _require_logits(path: Path, arrays: dict[str, Any], n_models: int, shape: tuple[int, int]) -> None:
    """UserError unless a shard has finite logits of this shape for each model, and says which images they are of."""
    import numpy as np

    wanted = [arrays[name] for name in (f"logits_{index}" for index in range(n_models)) if name in arrays]
    of_kind = len(wanted) == n_models and all(own.dtype == np.float32 and own.shape == shape for own in wanted)
    if not of_kind or "images_sha256" not in arrays or not all(np.isfinite(own).all() for own in wanted):
        raise UserError(
            f"{path} is not a valid shard (it needs finite logits of {n_models} models, each {shape[0]:,} × {shape[1]}); "
            "remove it and predict it again"
        )


def _image_set(work: Work, images_sha256: Sequence[str], *, fingerprint: bool) -> ImageSet:
    """The images without their pixels, but for the first, to which fused ensembles are held.

    fingerprint: decode every image once more, one shard at a time, for the fingerprint of all, and hold each shard's to what it was
    predicted on; without, the fingerprint is of those of the shards.
    """
    import hashlib

    from benchmark.ensembles import N_FUSION_IMAGES
    from core.console import progress
    from core.records import Fingerprint, ImageSet, new_array
    from models.runtimes.predict import PREDICTION_BATCH

    size, asked = work.candidates[0].card, work.asked
    shape = (len(work.chosen), size.image_height, size.image_width, 3)
    images_u8, growing = new_array(shape, sparse=True), Fingerprint(shape, work.class_names)
    n_read = len(work.chosen) if fingerprint else min(N_FUSION_IMAGES, len(work.chosen))
    with progress() as display:
        task, done = display.add_task("reading the images again, for their fingerprint", total=n_read), 0
        for shard, stated in enumerate(images_sha256):
            where = work.images_of(shard)
            own = Fingerprint((where.stop - where.start, *shape[1:]), work.class_names)
            stream = work.dataset.stream(asked.split, work.split_seed, work.chosen[where], PREDICTION_BATCH, asked.decoders)
            with closing(stream) as batches:
                for batch in batches:
                    if done < N_FUSION_IMAGES:
                        images_u8[done : done + len(batch)] = batch
                    growing.update(batch)
                    own.update(batch)
                    done += len(batch)
                    display.update(task, completed=done)
                    if done >= n_read:
                        break
            if fingerprint and own.hexdigest(work.labels(where)) != stated:
                raise UserError(
                    f"the images of shard {shard + 1} of {asked.n_shards} are not those that it was predicted on; remove the shard "
                    "and predict it again"
                )
            if done >= n_read:
                break
    labels = work.labels()
    sha256 = growing.hexdigest(labels) if fingerprint else hashlib.sha256(" ".join(images_sha256).encode()).hexdigest()
    return ImageSet(images_u8, labels, work.class_names, work.dataset.name, asked.split, sha256)


def _parser() -> Parser:
    command = Parser(
        prog="python -m benchmark merge",
        description="The tables of one benchmark over all images, from the shards that python -m benchmark predict made.",
        formatter_class=HelpWithDefaults,
    )
    add = command.add_argument
    add("folder", type=Path, metavar="DIR", help="the --out of python -m benchmark predict")
    add("--ensemble", nargs="*", choices=untuned_rules(), default=[], help=f"add every ensemble of the models, such as {DEFAULT}")
    add("--data", metavar="NAME", help="where the same images lie, if not where they were predicted")
    add("--models", type=Path, nargs="+", default=[], metavar="FILE", help="the same files, if they lie elsewhere by now")
    add("--no-fingerprint", action="store_true", help="do not decode all images again to prove them the same")
    add_run_flag(command)
    return command
