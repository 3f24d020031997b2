"""The laws of every trainer, stated once: `TrainerLaws`, run for PyTorch and Keras in processes of their own, and for numpy."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from core.errors import UserError
from core.records import Float32Array, ImageSet
from data import open_dataset
from models.card import read_card
from tests.full_disk import files_of
from train.files.checkpoint import checkpoint_path
from train.files.names import free_weights_path
from train.images import loss_and_accuracy, training_data
from train.loop import Framework, run_training
from train.outcome import Outcome
from train.recipes import AnyRecipe
from train.watch import Watch

FILES = {"run.json", "history.csv", "accuracy.png", "loss.png", "confusion.png"}
MEASURED = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr")


@dataclass(frozen=True)
class Twin:
    """One framework under the laws.

    recipe: three epochs of a small network on 48 digits in which every part of the state has a say;
    weights_of: a weights file → its arrays by name; logits_of: a weights file, images → logits, by the framework's own reader;
    write_foreign: write a file in the checkpoint's format that holds, as "hostile", an object with code, or else no progress;
    rtol: how much two equal trainings may differ, for threads add in any order; 0: not by a bit.
    """

    framework: Framework
    recipe: AnyRecipe
    weights_of: Callable[[Path], dict[str, np.ndarray]]
    logits_of: Callable[[Path, ImageSet], Float32Array]
    write_foreign: Callable[[Path, str], None]
    rtol: float

    def in_folder(self, folder: Path, **changes: Any) -> AnyRecipe:
        return replace(self.recipe, models_dir=folder / "models", results_dir=folder / "results", **changes)

    def train(self, recipe: AnyRecipe, pictures: bool = False) -> Outcome:
        """Without pictures, which take longer than the training, but where they are looked at."""
        with nullcontext() if pictures else no_pictures():
            return run_training(recipe, self.framework)

    def checkpoint(self, recipe: AnyRecipe) -> Path:
        return checkpoint_path(
            free_weights_path(recipe, open_dataset(recipe.data), self.framework.suffix, self.framework.read_checkpoint)
        )

    def same(self, one: Outcome, other: Outcome) -> None:
        """Both trained to the same history and weights."""
        figures = [[[getattr(row, name) for name in MEASURED] for row in outcome.history] for outcome in (one, other)]
        np.testing.assert_allclose(figures[0], figures[1], rtol=self.rtol)
        assert one.best_epoch == other.best_epoch
        a, b = self.weights_of(one.weights), self.weights_of(other.weights)
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=self.rtol, atol=self.rtol)


@contextmanager
def no_pictures() -> Iterator[None]:
    """Trainings draw nothing."""
    with mock.patch("train.outcome.plot_history"), mock.patch("train.outcome.confusion_heatmap"):
        yield


class Killed(BaseException):
    """What no trainer catches, as it catches no SIGKILL (`test_loop.py` sends some)."""


def stop_in(patch: pytest.MonkeyPatch, epoch: int, stop: type[BaseException] | None) -> None:
    """In the first step of `epoch`, raise `stop`, or for None let the loss be NaN."""
    whole_step = Watch.step

    def step(watch: Watch, n_images: int, mean_loss: float, n_right: float) -> None:
        if len(watch.history) + 1 == epoch:
            if stop is not None:
                raise stop
            mean_loss = float("nan")
        whole_step(watch, n_images, mean_loss, n_right)

    patch.setattr(Watch, "step", step)


@dataclass(frozen=True)
class Lost:
    """A training with another seed whose loss became NaN in its second epoch: what it said, left, and measured before."""

    message: str
    weights: Path
    first_row: dict[str, float]


def lose(twin: Twin, folder: Path) -> Lost:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as caught:
        stop_in(patch, 2, None)
        twin.train(twin.in_folder(folder, seed=twin.recipe.seed + 1))
    (weights,) = (folder / "models").glob(f"*{twin.framework.suffix}")
    (run,) = (folder / "results").iterdir()
    assert str(run) in str(caught.value)
    with open(run / "history.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    return Lost(str(caught.value), weights, {name: float(value) for name, value in row.items()})


def copied(twin: Twin, killed: Path, folder: Path) -> AnyRecipe:
    """The recipe that goes on, in `folder`, from a copy of the killed training's checkpoint."""
    source, recipe = twin.checkpoint(twin.in_folder(killed)), twin.in_folder(folder, resume=True)
    recipe.models_dir.mkdir()
    twin.checkpoint(recipe).write_bytes(source.read_bytes())
    return recipe


class TrainerLaws:
    """For a subclass in a file of its framework, beside the fixture `twin`; `whole`, `killed` and `lost` stand in conftest.py."""

    def test_it_leaves_weights_card_and_run(self, twin: Twin, whole: Outcome) -> None:
        recipe, card = twin.recipe, read_card(whole.weights)
        assert whole.weights.name == f"{recipe.arch}_digits{twin.framework.suffix}"
        assert {path.name for path in whole.weights.parent.iterdir()} == {whole.weights.name, whole.weights.name + ".json"}
        assert whole.card == card
        assert {path.name for path in whole.run.iterdir()} == FILES
        record = json.loads((whole.run / "run.json").read_text())
        assert record["dataset_sha256"] == card.dataset_sha256 == open_dataset("digits").fingerprints()
        assert (record["stopped"], record["n_train"], record["best_epoch"]) == (None, recipe.limit, whole.best_epoch)
        assert card.recipe["lr"] == record["recipe"]["lr"] == (recipe.lr or recipe.DEFAULT_LR)
        assert {name: card.recipe[name] for name in ("epochs", "batch_size", "limit", "ema_decay")} == {
            name: getattr(recipe, name) for name in ("epochs", "batch_size", "limit", "ema_decay")
        }
        assert (card.backend, card.architecture) == (twin.framework.backend, recipe.arch)
        assert sum(record["step_shares"].values()) == pytest.approx(1)
        assert "git_commit" in record["environment"]

    def test_the_history_is_that_of_every_epoch(self, twin: Twin, whole: Outcome) -> None:
        with open(whole.run / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(whole.history) == whole.figures["epochs_run"] == twin.recipe.epochs
        for row, epoch in zip(rows, whole.history, strict=True):
            assert [float(row[name]) for name in MEASURED] == pytest.approx([getattr(epoch, name) for name in MEASURED])

    def test_the_weights_are_those_of_the_best_epoch(self, twin: Twin, whole: Outcome) -> None:
        best = max(whole.history, key=lambda row: row.validation_accuracy)
        validation = training_data(twin.recipe).validation
        loss, accuracy = loss_and_accuracy(twin.logits_of(whole.weights, validation), validation.labels)
        assert accuracy == pytest.approx(best.validation_accuracy, abs=1e-9) == whole.figures["validation_accuracy"]
        assert loss == pytest.approx(best.validation_loss, rel=1e-4) == whole.figures["validation_nll"]

    def test_another_seed_trains_otherwise(self, whole: Outcome, lost: Lost) -> None:
        assert lost.first_row["train_loss"] != pytest.approx(whole.history[0].train_loss, rel=1e-3)

    def test_a_loss_that_is_no_number_keeps_the_best_and_says_where(self, twin: Twin, lost: Lost) -> None:
        assert lost.message.startswith("the loss became nan in epoch 2")
        assert "\n" not in lost.message
        assert str(lost.weights) in lost.message
        validation = training_data(replace(twin.recipe, seed=twin.recipe.seed + 1)).validation  # --limit chooses them by the seed
        loss, _ = loss_and_accuracy(twin.logits_of(lost.weights, validation), validation.labels)
        assert loss == pytest.approx(lost.first_row["validation_loss"], rel=1e-4)

    def test_killed_and_resumed_it_ends_like_one_that_was_not(
        self, twin: Twin, whole: Outcome, killed: Path, tmp_path: Path
    ) -> None:
        recipe = copied(twin, killed, tmp_path)
        twin.same(twin.train(recipe), whole)
        assert not twin.checkpoint(recipe).exists()

    def test_a_checkpoint_of_another_recipe_is_refused(self, twin: Twin, killed: Path, tmp_path: Path) -> None:
        recipe = copied(twin, killed, tmp_path)
        with pytest.raises(UserError, match=r"--label-smoothing was 0\.1, is 0\.2") as caught:
            twin.train(replace(recipe, label_smoothing=0.2))
        assert "\n" not in str(caught.value)
        assert twin.checkpoint(recipe).exists()

    @pytest.mark.parametrize("kind", ["cut", "hostile", "other"])
    def test_a_damaged_checkpoint_is_refused_and_never_run(self, twin: Twin, killed: Path, tmp_path: Path, kind: str) -> None:
        recipe = copied(twin, killed, tmp_path)
        path = twin.checkpoint(recipe)
        if kind == "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        else:
            twin.write_foreign(path, kind)
        with pytest.raises(UserError, match="not a valid checkpoint"):
            twin.train(recipe)

    @pytest.mark.parametrize("what", ["weights", "checkpoint"])
    def test_a_full_disk_is_told_with_the_file(self, twin: Twin, whole: Outcome, killed: Path, tmp_path: Path, what: str) -> None:
        target = whole.weights if what == "weights" else twin.checkpoint(twin.in_folder(killed))
        recipe = twin.in_folder(tmp_path, epochs=1 if what == "weights" else 2)
        with files_of(target.stat().st_size * 9 // 10), pytest.raises(UserError) as caught:
            twin.train(recipe)
        path = recipe.models_dir / target.name
        asked_for = "raise the limit on the size of files (ulimit -f), or choose another folder"
        assert str(caught.value) == f"cannot write {path}: File too large; {asked_for}"
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_cuda_that_is_not_there_is_refused(self, twin: Twin, without_gpu: None) -> None:
        with pytest.raises(UserError, match="--device cuda"):
            twin.framework.choose_device("cuda")
        assert str(twin.framework.choose_device("auto")) == str(twin.framework.choose_device("cpu")) == "cpu"
