"""`python -m benchmark predict`: the predictions of one shard of the images, or of all of them by processes or a cluster."""

from __future__ import annotations

import argparse
import shlex
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli import HelpWithDefaults, Parser, at_once, positive, seed
from core.console import print_lines
from core.decimals import whole_number
from core.errors import UserError, shortened
from core.signals import told_how_to_go_on
from data.reading import RESIZES
from data.sets import WHAT_DATA_TAKES

if TYPE_CHECKING:
    from benchmark.shards.plan import Asked

LAUNCHERS = ("local", "ray")


def main(arguments: Sequence[str]) -> int:
    """Predict, and print what to do next."""
    options = _parser().parse_args(arguments)
    if options.shard and (options.shards or options.launcher != LAUNCHERS[0] or options.jobs):
        raise UserError("--shard predicts one shard in this process; leave out --shards, --launcher and --jobs")
    from benchmark.shards.plan import Asked, missing

    shard, n_shards = options.shard or (0, options.shards or options.jobs or 1)
    names = ("data", "split", "limit", "seed", "resize", "device", "skip_damaged", "threads", "decoders")
    asked = Asked(
        tuple(map(str, options.models)),
        out=str(options.out),
        n_shards=n_shards,
        data_dir=None if options.data_dir is None else str(options.data_dir),
        **{name: getattr(options, name) for name in names},
    )

    def how_to_go_on() -> str:
        n_done = n_shards - len(missing(options.out, n_shards))
        return f"{n_done} of {n_shards} shards are in {options.out}, and the same command goes on" if n_done else ""

    with told_how_to_go_on(how_to_go_on):
        if options.shard or (n_shards == 1 and options.launcher == LAUNCHERS[0]):
            _here(asked, shard)
        else:
            _launched(asked, options)
    absent = missing(options.out, n_shards)
    if absent:
        print_lines(
            [f"{n_shards - len(absent)} of {n_shards} shards are in {options.out}; next: --shard {absent[0] + 1}/{n_shards}"]
        )
    else:
        print_lines(
            [f"all {n_shards} shards are in {options.out}; next: python -m benchmark merge {shlex.quote(str(options.out))}"]
        )
    return 0


def _here(asked: Asked, shard: int) -> None:
    """One shard in this process, with progress."""
    from benchmark.shards.predict import predict_shard
    from core.console import progress

    with progress() as display:
        task = display.add_task(f"predicting shard {shard + 1} of {asked.n_shards}", total=None)
        predict_shard(asked, shard, lambda n_images: display.advance(task, n_images))


def _launched(asked: Asked, options: Namespace) -> None:
    """All missing shards, by the launcher."""
    from benchmark.shards.plan import agreed_plan, missing, open_work
    from core.console import progress
    from core.files import remove_left
    from core.launch.launchers import launcher

    with agreed_plan(open_work(asked), range(asked.n_shards)):  # raises before anything is launched
        absent = missing(options.out, asked.n_shards)
        jobs = [{"asked": asdict(asked), "shard": shard} for shard in absent]
        run = launcher(options.launcher, options.jobs, options.threads)
        try:
            with progress() as display:
                for _ in display.track(
                    run("benchmark.shards.worker", jobs, lambda index: f"shard {absent[index] + 1} of {asked.n_shards}"),
                    total=len(jobs),
                    description="predicting shards",
                ):
                    pass
        finally:
            remove_left(options.out)  # a launcher that is stopped kills its processes, perhaps as they write


def shard_of(text: str) -> tuple[int, int]:
    """`3/8` as the shard's index from 0, 2, and the number of shards, 8."""
    number, slash, n_shards = text.partition("/")
    which, of = whole_number(number), whole_number(n_shards)
    if not slash or which is None or of is None or not 1 <= which <= of:
        raise argparse.ArgumentTypeError(f"{shortened(text)!r} is no shard: of 8 shards they are 1/8 to 8/8")
    return which - 1, of


def _parser() -> Parser:
    command = Parser(
        prog="python -m benchmark predict",
        description="Predictions of ONNX classifiers for one shard of the images, or for all shards by a launcher. Memory does not "
        "grow with the number of images. Existing shards are not made again; python -m benchmark merge DIR makes the tables.",
        formatter_class=HelpWithDefaults,
    )
    add = command.add_argument
    add("models", type=Path, nargs="+", metavar="MODEL", help="ONNX files")
    add("--data", default="cifar10", metavar="NAME", help=WHAT_DATA_TAKES)
    add("--data-dir", type=Path, metavar="DIR", help="where a named data set lies; $CIFAR10_DIR or data/ if not given")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the shards, the same for all of them")
    add("--shard", type=shard_of, metavar="I/N", help="predict only this shard, 1/8 to 8/8 of 8 shards")
    add("--shards", type=positive, metavar="N", help="predict all of N shards by the launcher; as many as --jobs if not given")
    add(
        "--launcher",
        choices=LAUNCHERS,
        default=LAUNCHERS[0],
        help="local: processes here; ray: tasks of the cluster at $RAY_ADDRESS",
    )
    add("--jobs", type=at_once, metavar="N", help="shards at a time, each a process; with --launcher ray the cluster decides")
    add("--split", choices=["test", "validation", "train"], default="test", help="the images to predict")
    add("--limit", type=positive, metavar="N", help="only N images of the split, drawn by --seed, for a quick try")
    add("--seed", type=seed, default=0, help="draws the images of --limit")
    add("--resize", choices=RESIZES, help="how images of a folder are brought to one size; as in training if not given")
    add(
        "--skip-damaged",
        action="store_true",
        help="leave out files of --data that cannot be decoded; to know which, the first shard decodes them all",
    )
    add("--device", choices=["cpu", "cuda"], default="cpu", help="where the models run")
    add("--threads", type=positive, metavar="N", help="intra-op threads of each shard; the cores it may use if not given")
    add("--decoders", type=at_once, metavar="N", help="processes of each shard that decode images; the cores if not given")
    return command
