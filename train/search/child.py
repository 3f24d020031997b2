"""`search(recipe)` from Python, which runs in its own process like `train`, and the part it shares with the command."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.environment import how_to_install
from core.errors import UserError
from train.child import TRAINERS

if TYPE_CHECKING:
    from train.recipes import AnyRecipe
    from train.search.report import Found
    from train.search.space import Range
    from train.search.trials import Plan


def search(
    recipe: AnyRecipe,
    *,
    trials: int = 40,
    time_budget_s: float = 3600.0,
    objectives: Sequence[str] = ("accuracy",),
    held: Sequence[str] = (),
    ranges: Mapping[str, Range] | None = None,
    journal: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Found:
    """Search for a better recipe than `recipe`, in a fresh process; its progress is printed to stderr unless `quiet`.

    Fields named in `held` keep their values; the others are searched in the ranges of `train.search.space.RANGES`, or in those of
    `ranges` (field → values, or `Interval(low, high, log)`). objectives: ("accuracy",), or ("accuracy", "latency") for the
    Pareto front of validation accuracy and p50. journal: the study's file; resume: continue it, or join it.
    Raises UserError for invalid input, and KeyboardInterrupt when interrupted.

        found = search(TorchRecipe(data="path/to/folder", epochs=5), trials=20, held=("arch",))
        train(found.recipe)
    """
    from core.launch import converse

    answers: list[dict[str, Any]] = []
    job = {
        "kind": type(recipe).__name__, "recipe": recipe.as_dict(), "trials": trials, "time_budget_s": time_budget_s,
        "objectives": list(objectives), "held": list(held), "journal": None if journal is None else str(journal), "resume": resume,
        "ranges": {name: list(one) if isinstance(one, tuple | list) else asdict(one) for name, one in (ranges or {}).items()},
    }  # fmt: skip
    converse("train.search.child", job, answers.append, what="the search", noise=None if quiet else sys.stderr.write)
    return _found(type(recipe), answers[-1])


def run(plan: Plan) -> Found:
    """Search by `plan` in this process, which imports the framework of its recipe; UserError if a package is absent."""
    module, package = TRAINERS[type(plan.base).__name__]
    for needed, extra in ((package, package), ("optuna", "search")):
        if importlib.util.find_spec(needed) is None:
            raise UserError(f"a search needs {needed}, which is not installed; {how_to_install(extra)}")
    framework = importlib.import_module(module).FRAMEWORK
    from train.search.trials import run_search

    return run_search(plan, framework)


def main(_arguments: Sequence[str]) -> None:
    """The child: search by the job on stdin, and answer with one line of JSON on stdout."""
    import json

    from core.launch import own_stdout
    from train import recipes
    from train.search.space import Interval
    from train.search.trials import Plan

    job = json.load(sys.stdin)
    channel = own_stdout()
    job["base"] = getattr(recipes, job.pop("kind")).from_dict(job.pop("recipe"))
    job["ranges"] = {name: tuple(one) if isinstance(one, list) else Interval(**one) for name, one in job["ranges"].items()}
    job["journal"] = None if job["journal"] is None else Path(job["journal"])
    found = run(Plan(**{**job, "objectives": tuple(job["objectives"]), "held": tuple(job["held"])}))
    print(json.dumps({**vars(found), "recipe": found.recipe.as_dict()}, default=str), file=channel, flush=True)


def _found(kind: type[AnyRecipe], values: dict[str, Any]) -> Found:
    from train.search.report import Found

    paths = {name: Path(values[name]) for name in ("recipe_file", "run", "journal")}
    return Found(**{**values, **paths, "recipe": kind.from_dict(values["recipe"])})


if __name__ == "__main__":
    from core.cli import run as run_command

    run_command(main)
