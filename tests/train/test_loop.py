"""What `train.loop` owes any framework, held to one that trains in milliseconds: the trainers' laws, early ends, sudden death."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.cli import INTERRUPTED, guard, run
from core.environment import REPOSITORY
from core.errors import UserError
from models.card import card_path, read_card
from tests.train import linear
from tests.train.killed import recipe
from tests.train.linear import LINEAR
from tests.train.trainer_laws import TrainerLaws, Twin, copied, no_pictures, stop_in
from train.files.checkpoint import checkpoint_path
from train.loop import Framework, Ranks, run_training, running
from train.outcome import Outcome
from train.recipes import TfRecipe


def trained(own: TfRecipe, framework: Framework = LINEAR) -> Outcome:
    with no_pictures():
        return run_training(own, framework)


@pytest.fixture(scope="module")
def twin() -> Twin:
    own = TfRecipe(data="digits", lr=0.05, epochs=3, batch_size=16, limit=48, label_smoothing=0.1)
    return Twin(LINEAR, own, linear.weights_of, linear.logits_of, linear.write_foreign, rtol=0)


class TestNumpy(TrainerLaws):
    """Numpy's."""


def test_interrupted_it_keeps_the_best_and_resumed_it_ends_like_one_that_was_not(
    twin: Twin, whole: Outcome, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = copied(twin, killed, tmp_path)
    with monkeypatch.context() as patch:
        stop_in(patch, 3, KeyboardInterrupt)
        assert guard(lambda _: bool(trained(own)), []) == INTERRUPTED
    (run,) = (tmp_path / "results").iterdir()
    record = json.loads((run / "run.json").read_text())
    last = capsys.readouterr().err.splitlines()[-1]
    assert (record["stopped"], last[:18]) == ("interrupted", "error: interrupted")
    assert all(words in last for words in (str(run), record["weights"], "--resume continues"))
    two = max(whole.history[:2], key=lambda row: row.validation_accuracy)
    assert read_card(Path(record["weights"])).figures["validation_nll"] == two.validation_loss
    twin.same(trained(own), whole)
    assert not twin.checkpoint(own).exists()


def stopped_in_evaluation(*calls: int) -> Framework:
    """One whose networks are evaluated without end; Ctrl-C comes in these calls, from 1."""
    numbers = itertools.count(1)

    def logits_of(*arguments: Any) -> Any:
        if next(numbers) in calls:
            raise KeyboardInterrupt
        return LINEAR.logits_of(*arguments)

    return replace(LINEAR, logits_of=logits_of)


@pytest.mark.parametrize(("n_epochs", "otherwise"), [(3, "; the same command with --resume continues"), (1, "")])
def test_interrupted_after_the_last_epoch_it_still_saves_the_weights_but_for_a_second_time(
    n_epochs: int, otherwise: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = replace(recipe(tmp_path), epochs=n_epochs)
    twice = stopped_in_evaluation(n_epochs + 1, n_epochs + 2)
    assert guard(lambda _: bool(trained(own, twice)), []) == INTERRUPTED
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"before the weights were saved{otherwise}")
    assert not list((tmp_path / "models").glob("*.pth")) if n_epochs > 1 else not (tmp_path / "models").exists()

    assert guard(lambda _: bool(trained(own, stopped_in_evaluation(n_epochs + 1))), []) == INTERRUPTED
    weights = tmp_path / "models" / "resnet18_digits.pth"
    assert "interrupted after the last epoch; the best weights (epoch " in capsys.readouterr().err
    interrupted = linear.weights_of(weights)
    assert not checkpoint_path(weights).exists()
    whole = linear.weights_of(trained(replace(own, models_dir=tmp_path / "whole")).weights)
    assert all(np.array_equal(interrupted[name], whole[name]) for name in whole)


def test_stopped_before_the_first_epoch_is_whole_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_in(monkeypatch, 1, KeyboardInterrupt)
    assert guard(lambda _: bool(trained(recipe(tmp_path))), []) == INTERRUPTED
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "results").exists()


def test_killed_at_any_moment_it_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    n_moments = 10
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.train.killed", tmp_path, str(n_moments)],
        cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in told] == ["-9"] * n_moments
    assert {line[1] for line in told} == {"0", "1"}  # before the first checkpoint, and after it
    whole = linear.weights_of(tmp_path / "whole" / "models" / "resnet18_digits.pth")
    for i in range(n_moments):
        again = linear.weights_of(tmp_path / f"{i}" / "models" / "resnet18_digits.pth")
        assert all(np.array_equal(again[name], whole[name]) for name in whole), i
        (run,) = (path for path in (tmp_path / f"{i}" / "results").iterdir() if not path.name.startswith("."))
        assert json.loads((run / "run.json").read_text())["stopped"] is None


def test_it_ends_after_epochs_without_a_better_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = iter([0.1, 0.4, 0.3, 0.4, 0.2, 0.9])
    monkeypatch.setattr("train.loop.epochs.loss_and_accuracy", lambda logits, labels: (1.0, next(accuracies)))
    outcome = trained(replace(recipe(tmp_path), epochs=6, patience=3))
    figures = read_card(outcome.weights).figures
    assert (outcome.best_epoch, figures["epochs_run"], figures["validation_accuracy"]) == (2, 5, 0.4)


def test_a_models_folder_that_cannot_be_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(UserError, match="--models-dir"):
        trained(recipe(tmp_path))
    assert not (tmp_path / "results").exists()


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no checkpoint"):
        trained(recipe(tmp_path, resume=True))


@pytest.mark.parametrize(("make", "kind"), [(Path.mkdir, "a folder"), (os.mkfifo, "a pipe")])
@pytest.mark.parametrize("place", [Path, card_path, checkpoint_path])
def test_what_is_no_file_where_one_must_be_written_is_found_before_training(
    make: Callable[[Path], None], kind: str, place: Callable[[Path], Path], tmp_path: Path
) -> None:
    own = replace(recipe(tmp_path), force=True, resume=place is checkpoint_path)
    own.models_dir.mkdir()
    path = place(own.models_dir / f"resnet18_digits{LINEAR.suffix}")
    make(path)
    with pytest.raises(UserError, match=f"{path.name} is {kind}.*; remove it, or pass another --name"):
        trained(own)
    assert not (tmp_path / "results").exists()


def test_a_checkpoint_that_cannot_be_removed_costs_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.name.endswith(".pth.checkpoint"):
            raise PermissionError(errno.EPERM, "not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    outcome = trained(recipe(tmp_path))
    assert outcome.weights.is_file()
    assert "cannot be removed (not permitted)" in " ".join(capsys.readouterr().err.split())


def test_another_seed_gets_a_name_of_its_own_and_force_replaces(tmp_path: Path) -> None:
    first = trained(recipe(tmp_path))
    second = trained(replace(recipe(tmp_path), seed=1))
    assert (first.weights.stem, second.weights.stem) == ("resnet18_digits", "resnet18_digits-2")
    named = replace(recipe(tmp_path), seed=1, name="resnet18_digits")
    with pytest.raises(UserError, match="--seed was 0, is 1"):
        trained(named)
    assert read_card(first.weights).seed == 0
    assert trained(replace(named, force=True)).weights == first.weights
    assert read_card(first.weights).seed == 1


def test_the_rate_of_the_record_is_the_one_that_a_start_suggested(tmp_path: Path) -> None:
    def start(setting: object) -> object:
        batches, state = LINEAR.start(setting)  # type: ignore[arg-type]
        state.lr = state.extra["suggested_lr"] = 0.125
        return batches, state

    outcome = trained(replace(recipe(tmp_path), lr=None), replace(LINEAR, start=start))  # type: ignore[arg-type]
    assert outcome.card.recipe["lr"] == json.loads((outcome.run / "run.json").read_text())["suggested_lr"] == 0.125


@pytest.mark.parametrize(
    ("image_size", "limit", "device", "factor"),
    [(224, 2000, "cpu", "12"), (128, 10, "cpu", "4"), (64, 10, "cpu", None), (224, None, "cpu", None), (224, 10, "cuda", None)],
)
def test_a_try_with_large_images_is_told_of_smaller_ones(
    image_size: int, limit: int | None, device: str, factor: str | None
) -> None:
    said = running._slow_try(TfRecipe(image_size=image_size, limit=limit), device)
    assert [f"64 has {factor} times fewer pixels" in line for line in said] == [True] * (factor is not None)


def test_validation_is_said_while_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    seen: list[str] = []

    def logits_of(*arguments: object) -> np.ndarray:
        seen.extend(task.description for task in display.tasks)
        return LINEAR.logits_of(*arguments)  # type: ignore[arg-type]

    from train.watch import Watch

    whole, display = Watch.validation_begins, None

    def validation_begins(watch: Watch) -> None:
        nonlocal display
        whole(watch)
        display = watch._display

    monkeypatch.setattr(Watch, "validation_begins", validation_begins)
    trained(recipe(tmp_path), replace(LINEAR, logits_of=logits_of))
    assert seen[:3] == [f"epoch {n}/3 validating" for n in (1, 2, 3)]


@pytest.mark.parametrize("n", [0, 1, 5, 12, 13])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_shares_of_all_processes_are_numpys_split(n: int, size: int) -> None:
    things = np.arange(n)
    for rank, part in enumerate(np.array_split(things, size)):
        assert things[Ranks(rank, size).share(n)].tolist() == part.tolist()


@pytest.mark.parametrize("killed_at", ["the old weights are gone", "the card is there"])
def test_killed_as_it_replaces_weights_it_leaves_no_card_of_others(killed_at: str, tmp_path: Path) -> None:
    """A card beside its predecessor's weights would state figures that are not theirs."""
    own = recipe(tmp_path)
    weights, other = trained(own).weights, replace(own, seed=1, force=True)
    before = (weights.read_bytes(), card_path(weights).read_bytes())
    child = os.fork()
    if child == 0:
        unlink, rename = Path.unlink, os.replace

        def die_after(path: Path, *rest: object, **more: bool) -> None:
            unlink(path, *rest, **more)  # type: ignore[arg-type]
            if path == weights:
                os.kill(os.getpid(), signal.SIGKILL)

        def die_as_named(source: object, target: object) -> None:
            rename(source, target)  # type: ignore[arg-type]
            if target == card_path(weights):
                os.kill(os.getpid(), signal.SIGKILL)

        with pytest.MonkeyPatch.context() as patch:
            if killed_at == "the old weights are gone":
                patch.setattr(Path, "unlink", die_after)
            else:
                patch.setattr(os, "replace", die_as_named)
            trained(other)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert not weights.exists()
    assert (card_path(weights).read_bytes() == before[1]) == (killed_at == "the old weights are gone")
    assert read_card(trained(other).weights).seed == 1
    assert before[0] != weights.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_as_the_weights_appear_waits_for_the_run(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("train.loop.running.remove", lambda path: (path.unlink(missing_ok=True), signal.raise_signal(number)))
    with pytest.raises(SystemExit) as ended:
        run(lambda _: bool(trained(recipe(tmp_path))), [])
    assert ended.value.code == INTERRUPTED
    (of_run,) = (tmp_path / "results").iterdir()
    said = capsys.readouterr().err.splitlines()[-1]
    assert "interrupted after the last epoch" in said and str(of_run) in said and "next: python -m export.to_onnx" in said
    assert json.loads((of_run / "run.json").read_text())["stopped"] is None
