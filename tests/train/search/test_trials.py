"""Whole searches, whose trials numpy trains: better than a bad recipe, blind to the test split, and whole after every death."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from core.environment import REPOSITORY
from core.errors import UserError
from data import Dataset
from tests.train.linear import LINEAR
from tests.train.search.by_numpy import plan, search
from tests.train.trainer_laws import no_pictures
from train.loop import run_training
from train.recipe_choice import from_file
from train.recipes import TfRecipe
from train.search.report import right_of
from train.search.space import Interval
from train.search.study import quiet_optuna
from train.search.trials import FAILED_AT_FIRST
from train.watch import Watch


@pytest.fixture(autouse=True)
def quiet() -> None:
    quiet_optuna()


def trials_of(journal: Path) -> list[Any]:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    return list(optuna.load_study(study_name="search", storage=storage).trials)


def states_of(journal: Path) -> list[str]:
    return [trial.state.name for trial in trials_of(journal)]


def test_it_finds_a_better_recipe_without_the_test_split_and_its_file_trains_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits, whole_split = set(), Dataset.split

    def split(self: Dataset, name: Any, *arguments: Any, **named: Any) -> Any:
        splits.add(name)
        return whole_split(self, name, *arguments, **named)

    monkeypatch.setattr(Dataset, "split", split)
    found = search(plan(tmp_path))
    assert "test" not in splits
    assert found.verdict.startswith("significantly more accurate than the recipe it began from")
    table = found.trials
    assert (len(table), table.trial.tolist()) == (6, list(range(6)))
    assert found.validation_accuracy == pytest.approx(table.validation_accuracy.max())
    assert table.lr[0] == 1e-4
    assert set(table.state) <= {"complete", "pruned"}
    recipe = replace(from_file(TfRecipe, found.recipe_file), models_dir=tmp_path / "m", results_dir=tmp_path / "r")
    with no_pictures():
        assert run_training(recipe, LINEAR).validation_accuracy == found.validation_accuracy
    best = trials_of(found.journal)[int(table.validation_accuracy.idxmax())]
    assert right_of(best).mean() == found.validation_accuracy
    assert not found.journal.with_name(found.journal.name + ".workers").exists()


def test_the_same_seed_tries_the_same(tmp_path: Path) -> None:
    one, other = (search(plan(tmp_path / name, trials=2)).trials for name in "ab")
    assert one.drop(columns="elapsed_s").equals(other.drop(columns="elapsed_s"))


def test_a_trial_worse_than_most_is_stopped_early_but_never_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number < 3)
    found = search(plan(tmp_path, trials=4))
    assert found.trials.state.tolist() == ["complete", "pruned", "pruned", "complete"]
    assert [len(trial.intermediate_values) for trial in trials_of(found.journal)] == [2, 1, 1, 2]


def test_a_loss_that_is_no_number_ends_its_trial_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_step, n_begun = Watch.step, []

    def step(watch: Watch, n_images: int, mean_loss: float, n_right: float) -> None:
        if not n_begun or n_begun[-1] is not watch:
            n_begun.append(watch)
        whole_step(watch, n_images, float("nan") if len(n_begun) in (1, 2) else mean_loss, n_right)

    monkeypatch.setattr(Watch, "step", step)
    found = search(plan(tmp_path, trials=4))
    assert found.trials.state.tolist()[:2] == ["pruned", "pruned"]
    assert "loss became nan" in found.trials.error[0]
    assert "no comparison" in found.verdict


def test_what_fails_at_first_is_an_error_and_later_a_failed_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(n_good: int) -> Any:
        begun: list[int] = []

        def start(setting: Any) -> Any:
            begun.append(1)
            if len(begun) > n_good:
                raise RuntimeError("out of memory")
            return LINEAR.start(setting)

        return replace(LINEAR, start=start)

    monkeypatch.setattr("tests.train.search.by_numpy.LINEAR", refusing(0))
    with pytest.raises(RuntimeError, match="out of memory"):
        search(plan(tmp_path / "a"))
    monkeypatch.setattr("tests.train.search.by_numpy.LINEAR", refusing(1))
    found = search(plan(tmp_path / "b", trials=3))
    assert found.trials.state.tolist() == ["complete", "fail", "fail"]
    assert found.trials.error[2] == "out of memory"
    assert FAILED_AT_FIRST > 1


def test_without_time_one_trial_is_trained_to_its_end(tmp_path: Path) -> None:
    found = search(plan(tmp_path, time_budget_s=1e-9))
    assert found.trials.state.tolist() == ["complete"]
    assert found.verdict == "no trial was better than the recipe it began from"


def test_time_that_is_up_in_a_trial_ends_it_and_it_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, whole = [0.0], Watch.epoch_ends

    def epoch_ends(watch: Watch, *arguments: float) -> Any:
        clock[0] += 10
        return whole(watch, *arguments)

    monkeypatch.setattr(Watch, "epoch_ends", epoch_ends)
    monkeypatch.setattr("train.search.trials.time.monotonic", lambda: clock[0])
    found = search(plan(tmp_path, time_budget_s=25))  # the first trial takes 20, the second would take as long
    assert states_of(found.journal) == ["COMPLETE", "FAIL", "WAITING"]
    again = search(plan(tmp_path, time_budget_s=100, trials=2, resume=True))
    assert states_of(again.journal) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert trials_of(again.journal)[2].params == trials_of(again.journal)[1].params


@pytest.mark.parametrize("n_whole", [0, 2])
def test_interrupted_it_keeps_the_best_and_resumed_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_whole: int
) -> None:
    n_begun, whole = [0], Watch.epoch_ends

    def epoch_ends(watch: Watch, *arguments: float) -> Any:
        row = whole(watch, *arguments)
        n_begun[0] += row.epoch == 1
        if n_begun[0] == n_whole + 1:
            raise KeyboardInterrupt
        return row

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="--resume continues") as caught:
        patch.setattr(Watch, "epoch_ends", epoch_ends)
        search(plan(tmp_path))
    (journal,) = (tmp_path / "results").glob("*.journal")
    assert ("best_recipe.json" in str(caught.value)) == bool(n_whole)
    assert states_of(journal) == ["COMPLETE"] * n_whole + ["FAIL", "WAITING"]
    search(plan(tmp_path, resume=True, trials=n_whole + 2))
    held = [trial for trial in trials_of(journal) if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert len(held) == n_whole + 2
    assert held[n_whole].params == trials_of(journal)[n_whole].params


def test_killed_and_resumed_it_loses_the_running_trial_alone_and_does_it_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.train.search.by_numpy", str(tmp_path), "2"]
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True).returncode == -signal.SIGKILL
    (journal,) = (tmp_path / "results").glob("*.journal")
    before = trials_of(journal)
    assert [trial.state.name for trial in before] == ["COMPLETE", "COMPLETE", "RUNNING"]
    search(plan(tmp_path, resume=True, trials=4))
    after = trials_of(journal)
    assert [trial.values for trial in after[:2]] == [trial.values for trial in before[:2]]
    assert after[2].state == TrialState.FAIL
    assert after[3].params == before[2].params
    assert [trial.state for trial in after[3:]].count(TrialState.FAIL) == 0
    assert len(after) == 5


def test_two_objectives_leave_the_front_and_measure_each_network_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def p50_ms(weights: Path, images: Any) -> float:
        assert weights.is_file()
        assert images.split == "validation"
        measured.append(weights.stem)
        return {"resnet18_digits": 2.0, "resnet34_digits": 1.0}[weights.stem]

    monkeypatch.setattr("train.search.trials.p50_ms", p50_ms)
    asked = plan(tmp_path, trials=5, objectives=("accuracy", "latency"))
    asked = replace(
        asked, held=(*asked.held[1:], "batch_size"), ranges={"arch": ("resnet34",), "lr": Interval(1e-4, 0.3, log=True)}
    )
    table = search(asked).trials
    assert sorted(measured) == ["resnet18_digits", "resnet34_digits"]
    assert set(table.state) == {"complete"}  # no pruning
    points = table[["validation_accuracy", "p50_ms"]].to_numpy()
    dominated = [any(a >= accuracy and p <= p50 and (a, p) != (accuracy, p50) for a, p in points) for accuracy, p50 in points]
    np.testing.assert_array_equal(table.on_pareto_front, ~np.array(dominated))


def test_a_study_of_another_recipe_is_refused(tmp_path: Path) -> None:
    search(plan(tmp_path, trials=1))
    other = plan(tmp_path, resume=True)
    with pytest.raises(UserError, match=r"another search \(epochs of the recipe"):
        search(replace(other, base=replace(other.base, epochs=3)))


@pytest.mark.parametrize(
    "changes", [{"trials": 0}, {"time_budget_s": 0.0}, {"objectives": ("latency",)}, {"objectives": ("accuracy", "size")}]
)
def test_a_plan_that_is_none_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        plan(tmp_path, **changes)
