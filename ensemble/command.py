"""The command line of `python -m ensemble`; nothing slow is imported before the arguments are checked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.cli import Parser, fraction
from ensemble.options import Options, checked
from ensemble.rules.registry import DEFAULT, RULES


def main(arguments: Sequence[str]) -> int:
    """Fuse the members into one checked file and say what it is."""
    options = parse(arguments)

    from core.console import print_lines
    from ensemble.pipeline import make

    print_lines(make(options))
    return 0


def parse(arguments: Sequence[str]) -> Options:
    """The options that `arguments` stand for; UserError if they contradict each other."""
    values = vars(parser().parse_args(arguments))
    return checked(
        tuple(values["members"]), values["out"], values["rule"], values["weights"], values["data"], values["data_dir"],
        values["cascade"], values["max_accuracy_loss"], values["force"],
    )  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Every flag with its meaning."""
    command = Parser(
        prog="python -m ensemble",
        description="Fuse ONNX classifiers of any framework into one contract file, tuned on validation images only.",
        epilog="Every command also takes --traceback, which shows the cause of an error.",
    )
    add = command.add_argument
    add(
        "members",
        type=Path,
        nargs="+",
        metavar="MEMBER.onnx",
        help="contract files, two or more (--rule tta: one); an ensemble can be a member, too",
    )
    add("--out", type=Path, required=True, metavar="FILE", help="the file to make, models/<name>.onnx")
    add("--force", action="store_true", help="replace FILE even if it is another ensemble, or no ensemble")
    add(
        "--rule",
        choices=tuple(RULES),
        default=DEFAULT,
        help="; ".join(f"{name}: {rule.help}" for name, rule in RULES.items()),
    )
    add("--weights", type=float, nargs="+", metavar="W", help="weights by hand, one per member; nothing is tuned then")
    add("--data", metavar="NAME", help="data set to tune and check on; the one that the members' cards name if not given")
    add("--data-dir", type=Path, metavar="DIR", help="where CIFAR-10 lies; $CIFAR10_DIR or data/ if not given")
    add("--cascade", action="store_true", help="the first member answers alone if it is sure enough, otherwise all of them")
    add(
        "--max-accuracy-loss",
        type=fraction,
        metavar="L",
        help="with --cascade: validation accuracy that may be lost against the whole ensemble, 0.002 for 0.2 points (default 0)",
    )
    return command
