"""The command and its twin from Python: what they make of their arguments, and what they refuse in one line."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from tests.train.linear import LINEAR
from tests.train.search.by_numpy import no_drawing, plan
from train.recipe_choice import named
from train.recipes import TfRecipe, TorchRecipe
from train.search import child
from train.search.__main__ import main, parser
from train.search.space import Interval
from train.search.trials import Plan, run_search


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    plans: list[Plan] = []

    class Nothing:
        def report(self, command: str) -> str:
            return f"next {command}"

    def run(asked: Plan) -> Nothing:
        plans.append(asked)
        return Nothing()

    monkeypatch.setattr(child, "run", run)
    return plans


def test_the_recipes_own_flags_hold_their_fields(planned: list[Plan], capsys: pytest.CaptureFixture[str]) -> None:
    main(
        [
            "torch",
            "--recipe",
            "fast",
            "--data",
            "digits",
            "--trials",
            "7",
            "--no-horizontal-flip",
            "--lr=0.2",
            "--range",
            "cutout=0:0.1",
        ]
    )
    assert capsys.readouterr().out == "next train.torch_resnet\n"
    (made,) = planned
    assert made.base == replace(named(TorchRecipe, "fast"), data="digits", horizontal_flip=False, lr=0.2)
    assert {"horizontal_flip", "lr"} <= set(made.held)
    assert (made.trials, made.time_budget_s, made.objectives, made.ranges) == (
        7,
        3600,
        ("accuracy",),
        {"cutout": Interval(0.0, 0.1)},
    )
    assert not {"horizontal_flip", "lr"} & set(made.space)
    assert {"arch", "shift"} <= set(made.space)


def test_the_searchs_own_flags(planned: list[Plan]) -> None:
    main(["tf", "--objective", "accuracy,latency", "--time-budget", "60", "--study", "a.journal", "--resume", "--out", "r"])
    (made,) = planned
    assert (made.objectives, made.time_budget_s, made.journal, made.resume) == (
        ("accuracy", "latency"),
        60,
        Path("a.journal"),
        True,
    )
    assert made.base == TfRecipe(results_dir=Path("r"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["jax"], "invalid choice"), ([], "required"), (["tf", "--objective", "latency"], "--objective must be"),
     (["tf", "digits"], "digits is no flag"), (["tf", "--range", "lr=1"], "--range lr takes LOW:HIGH"),
     (["tf", "--trials", "0"], "positive"),
     (["tf", "--recipe", "nothing.json"], "nothing.json cannot be read"), (["tf", "--time-budget", "0"], "--time-budget above 0")],
)  # fmt: skip
def test_what_cannot_be_understood_is_one_line(planned: list[Plan], arguments: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        main(arguments)
    assert planned == []


def test_help_tells_every_field_that_is_searched() -> None:
    text = " ".join(parser().format_help().split())
    for field in ("image_size", "min_crop_area", "EfficientNetB0", "random_erasing"):
        assert field in text


def test_from_python_it_is_the_same_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = plan(tmp_path, trials=2)

    def converse(module: str, job: dict[str, Any], heard: Any, *, what: str, noise: Any) -> None:
        assert module == "train.search.child"
        channel = io.StringIO()
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(job)))
        monkeypatch.setattr("core.launch.own_stdout", lambda: channel)
        child.main([])
        heard(json.loads(channel.getvalue()))

    def run(given: Plan) -> Any:
        assert given == replace(asked, ranges={"batch_size": (16, 64), "lr": Interval(1e-4, 0.5)}, journal=tmp_path / "j")
        with no_drawing():
            return run_search(given, LINEAR)

    monkeypatch.setattr("core.launch.converse", converse)
    monkeypatch.setattr(child, "run", run)
    found = child.search(
        asked.base,
        trials=2,
        held=asked.held,
        ranges={"batch_size": (16, 64), "lr": Interval(1e-4, 0.5)},
        journal=tmp_path / "j",
        quiet=True,
    )
    assert found.recipe_file.is_file()
    assert isinstance(found.recipe, TfRecipe)
    assert found.validation_accuracy == pytest.approx(found.trials.validation_accuracy.max())


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(child.TRAINERS, "TfRecipe", ("nothing", "no_such_package"))
    with pytest.raises(UserError, match="needs no_such_package"):
        child.run(plan(tmp_path))
