"""`train(recipe)` from Python: what crosses between the processes; whole trainings are in benchmark/test_architectures.py."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import train
from core.errors import UserError
from tests.train.killed import recipe
from tests.train.linear import LINEAR
from tests.train.trainer_laws import no_pictures
from train import Outcome, TfRecipe, TorchRecipe, child
from train.loop import run_training


@pytest.fixture
def by_numpy(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Recipes are trained by numpy in this process, every value passing through JSON as between two; the jobs that came."""
    jobs: list[dict[str, Any]] = []

    def converse(module: str, job: dict[str, Any], heard: Any, *, what: str, noise: Any) -> None:
        assert module == "train.child"
        jobs.append(json.loads(json.dumps(job)))
        channel = io.StringIO()
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(job)))
        monkeypatch.setattr("core.launch.own_stdout", lambda: channel)
        child.main([])
        for line in channel.getvalue().splitlines():
            heard(json.loads(line))
        if noise is not None:
            noise("a line of progress\n")

    class Trainer:
        @staticmethod
        def train(own: Any) -> Outcome:
            with no_pictures():
                return run_training(own, LINEAR)

    monkeypatch.setattr("core.launch.converse", converse)
    monkeypatch.setitem(child.TRAINERS, "TfRecipe", ("trainer_by_numpy", "numpy"))
    monkeypatch.setitem(sys.modules, "trainer_by_numpy", Trainer)  # type: ignore[arg-type]
    return jobs


def test_the_outcome_is_the_one_that_the_child_had(by_numpy: list[dict[str, Any]], tmp_path: Path) -> None:
    told = child.train(recipe(tmp_path))
    assert by_numpy[0]["kind"] == "TfRecipe"
    own = run_training(recipe(tmp_path), LINEAR)  # the same training once more
    assert isinstance(told, Outcome)
    assert (told.weights, told.card.recipe, told.best_epoch) == (own.weights, own.card.recipe, own.best_epoch)
    assert [row.validation_loss for row in told.history] == [row.validation_loss for row in own.history]
    assert told.figures["validation_accuracy"] == told.validation_accuracy == told.history[told.best_epoch - 1].validation_accuracy
    assert told.run.is_dir()
    assert (told.stopped, told.report().splitlines()[0]) == (None, f"weights     {told.weights}")


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_is_shown_unless_it_is_not_wanted(
    by_numpy: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: bool
) -> None:
    child.train(recipe(tmp_path), quiet=quiet)
    assert ("a line of progress" in capsys.readouterr().err) != quiet


def test_a_framework_that_is_not_installed_is_named(by_numpy: list[dict[str, Any]], tmp_path: Path) -> None:
    child.TRAINERS["TfRecipe"] = ("trainer_by_numpy", "no_such_package")
    with pytest.raises(UserError, match=r"needs no_such_package.*pip install .*no_such_package$"):
        child.train(replace(recipe(tmp_path), epochs=1))


def test_the_public_names_are_the_packages_own() -> None:
    assert (train.TorchRecipe, train.TfRecipe, train.train) == (TorchRecipe, TfRecipe, child.train)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = train.no_such_name


def test_every_recipe_has_a_trainer() -> None:
    assert set(child.TRAINERS) == {TorchRecipe.__name__, TfRecipe.__name__}
