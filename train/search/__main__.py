"""`python -m train.search torch|tf`: search for better hyperparameters than those of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.cli import USAGE, HelpWithDefaults, Parser, positive, seconds
from core.errors import UserError

COMMANDS = {"torch": "train.torch_resnet", "tf": "train.tf_resnet"}


def main(arguments: Sequence[str]) -> None:
    """Parse, search, print what was found."""
    from train.recipe_choice import flags_of, from_command_line
    from train.recipes import AnyRecipe, TfRecipe, TorchRecipe

    asked, rest = parser().parse_known_args(list(arguments))
    kind: type[AnyRecipe] = TorchRecipe if asked.framework == "torch" else TfRecipe
    stray = [word for word in rest[:1] if not word.startswith("-")]
    if stray:
        raise UserError(f"{stray[0]} is no flag; see python -m train.search --help", exit_code=USAGE)
    base: AnyRecipe = from_command_line(kind, rest, f"train.search {asked.framework}")
    from train.search.child import run
    from train.search.space import parse_range
    from train.search.trials import Plan

    ranges = dict(parse_range(text, kind) for text in asked.range)
    objectives = tuple(asked.objective.split(","))
    held = tuple(flags_of(kind, rest))
    plan = Plan(base, asked.trials, asked.time_budget, objectives, held, ranges, asked.study, asked.resume)
    print(run(plan).report(COMMANDS[asked.framework]))


def parser() -> Parser:
    """The parser of the search's own flags; all others are the recipe's."""
    made = Parser(
        prog="python -m train.search",
        description="Search for better hyperparameters than those of a recipe, by validation accuracy; test images are not "
        "used. The recipe's own flags may follow, as python -m train.torch_resnet or train.tf_resnet takes them: each "
        "fixes its field at that value, and every other field of the table below is searched. The first trial is the recipe "
        "itself. Several processes, also on machines with a common folder, share a study with --resume.",
        epilog=_table(),
        formatter_class=HelpWithDefaults,
        allow_abbrev=False,
    )
    made.add_argument("framework", choices=list(COMMANDS), help="which trainer")
    made.add_argument("--trials", type=positive, default=40, metavar="N", help="trials of the study, including earlier runs'")
    made.add_argument(
        "--time-budget", type=seconds, default=3600.0, metavar="SECONDS", help="stop after this time, but finish at least one trial"
    )
    made.add_argument("--objective", default="accuracy", metavar="accuracy[,latency]",
                      help="with latency: the Pareto front of validation accuracy and p50 at batch 1 in ONNX Runtime on this "
                      "CPU; then no trial is pruned")  # fmt: skip
    made.add_argument("--range", action="append", default=[], metavar="FIELD=…",
                      help="search a field in another range, as in lr=1e-4:1e-2 or arch=resnet18,vit_b_16; may be "
                      "repeated")  # fmt: skip
    made.add_argument("--study", type=Path, metavar="FILE", help="journal of the trials (default: search-… in the folder of --out)")
    made.add_argument("--resume", action="store_true", help="continue the study, or join the processes that work on it")
    return made


def _table() -> str:
    from train.search.space import RANGES, words

    tables = {name: words(space) for name, space in zip(COMMANDS, RANGES.values(), strict=True)}
    shared = [line for line in tables["torch"] if line in tables["tf"]]
    own = {name: [line for line in lines if line not in shared] for name, lines in tables.items()}
    parts = [f"{name}: {'; '.join(lines)}" for name, lines in {"searched": shared, **own}.items()]
    return ". ".join(parts) + ". Image sizes above the recipe's own are left out."


if __name__ == "__main__":
    from core.cli import run

    run(main)
