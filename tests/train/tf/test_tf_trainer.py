"""Whole trainings in TensorFlow, as short as they can be: what they write, repeat, keep and refuse."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from core.cli import INTERRUPTED, guard
from core.errors import UserError
from data import open_dataset
from models.card import Preprocessing, read_card
from models.tf.network import evaluation_batch, load
from train import tf_resnet
from train.images import loss_and_accuracy, training_data
from train.outcome import Outcome
from train.recipes import TfRecipe
from train.tf import trainer as tf_trainer
from train.tf.batches import Batches
from train.tf.trainer import choose_device, logits_of, train
from train.watch import Watch

# Keras hands TensorFlow variables to h5py through numpy's older protocol
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.usefixtures("narrow"),
]


PLAIN = Preprocessing(32, (0, 0, 0), (1, 1, 1), "nhwc")


def _recipe(folder: Path, **changes: object) -> TfRecipe:
    fields = {
        "data": "digits", "image_size": 32, "epochs": 2, "batch_size": 16, "limit": 48,
        "device": "cpu", "models_dir": folder / "models", "results_dir": folder / "results",
    }  # fmt: skip
    return TfRecipe(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(narrow: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[TfRecipe, Outcome]:
    recipe = _recipe(tmp_path_factory.mktemp("trained"))
    return recipe, train(recipe)


def test_a_training_leaves_weights_card_and_run(trained: tuple[TfRecipe, Outcome]) -> None:
    recipe, outcome = trained
    assert outcome.weights == recipe.models_dir / "resnet18_digits.keras"
    assert {path.name for path in outcome.run.iterdir()} == {
        "run.json", "history.csv", "accuracy.png", "loss.png", "confusion.png",
    }  # fmt: skip
    record = json.loads((outcome.run / "run.json").read_text())
    card = read_card(outcome.weights)
    assert record["dataset_sha256"] == card.dataset_sha256 == open_dataset("digits").fingerprints()
    assert record["stopped"] is None
    assert card.recipe["lr"] == record["recipe"]["lr"] == 1e-3
    assert "git_commit" in record["environment"]
    with open(outcome.run / "history.csv", newline="") as file:
        history = list(csv.DictReader(file))
    assert len(history) == card.figures["epochs_run"] == 2
    best = max(history, key=lambda row: float(row["validation_accuracy"]))
    # the file's weights are those of the best epoch: they give its figures again
    model, _ = load(outcome.weights)
    assert card.preprocessing is not None
    validation = training_data(recipe).validation
    loss, accuracy = loss_and_accuracy(logits_of(model, validation, card.preprocessing), validation.labels)
    assert accuracy == pytest.approx(float(best["validation_accuracy"]), abs=1e-9) == card.figures["validation_accuracy"]
    assert loss == pytest.approx(card.figures["validation_nll"], rel=1e-4)


def test_the_file_holds_the_network_alone(trained: tuple[TfRecipe, Outcome]) -> None:
    _, outcome = trained
    n_parameters = load(outcome.weights)[0].count_params()
    assert outcome.weights.stat().st_size < 1.1 * 4 * n_parameters  # Adam's state would treble it


def test_a_seed_repeats_a_training(tmp_path: Path) -> None:
    losses = {}
    for name, seed in {"first": 0, "again": 0, "other": 1}.items():
        outcome = train(_recipe(tmp_path / name, epochs=1, seed=seed))
        losses[name] = read_card(outcome.weights).figures["validation_nll"]
    assert losses["first"] == pytest.approx(losses["again"], rel=1e-4)
    assert losses["first"] != pytest.approx(losses["other"], rel=1e-4)


def test_training_stops_after_epochs_without_a_better_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = iter([0.1, 0.4, 0.3, 0.4, 0.2, 0.9])
    monkeypatch.setattr(tf_trainer, "loss_and_accuracy", lambda logits, labels: (1.0, next(accuracies)))
    outcome = train(_recipe(tmp_path, epochs=6, patience=3))
    figures = read_card(outcome.weights).figures
    assert (outcome.best_epoch, figures["epochs_run"], figures["validation_accuracy"]) == (2, 5, 0.4)


def _epochs(recipe: TfRecipe, n_epochs: int) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    batches = Batches(training_data(recipe).train, recipe, PLAIN)
    return [list(batches.epoch(epoch).as_numpy_iterator()) for epoch in range(n_epochs)]


def test_batches_are_every_image_once_and_differ_by_epoch(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    first, second = _epochs(recipe, 2)
    (again,) = _epochs(recipe, 1)
    counts = sum(one_hot.sum(axis=0) for _, one_hot in first)
    np.testing.assert_array_equal(counts, np.bincount(training_data(recipe).train.labels, minlength=10))
    assert first[0][0].dtype == np.float32
    assert 0 <= first[0][0].min() <= first[0][0].max() <= 1
    assert (first[0][0] != second[0][0]).any()
    np.testing.assert_array_equal(first[0][0], again[0][0])


def test_without_augmentation_a_batch_is_what_evaluation_sees(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, shift=0.0, horizontal_flip=False)
    (epoch,) = _epochs(recipe, 1)
    expected = evaluation_batch(training_data(recipe).train.images_u8, PLAIN)
    seen = np.concatenate([images_nhwc for images_nhwc, _ in epoch])
    assert sorted(map(bytes, seen)) == sorted(map(bytes, expected))


def test_every_image_of_a_batch_is_shifted_and_mirrored_by_itself(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, shift=0.25)
    train_images = training_data(recipe).train
    same = dataclasses.replace(train_images, images_u8=np.repeat(train_images.images_u8[:1], len(train_images), axis=0))
    images_nhwc, _ = next(iter(Batches(same, recipe, PLAIN).epoch(0).as_numpy_iterator()))
    assert len({bytes(image) for image in images_nhwc}) == len(images_nhwc)


def _stop_in_epoch_two(monkeypatch: pytest.MonkeyPatch, stop: object) -> None:
    whole_step = Watch.step

    def step(watch: Watch, n_images: int, mean_loss: float, n_right: float) -> None:
        if watch.history and stop is KeyboardInterrupt:
            raise KeyboardInterrupt
        whole_step(watch, n_images, float("nan") if watch.history else mean_loss, n_right)

    monkeypatch.setattr(tf_trainer.Watch, "step", step)


@pytest.mark.parametrize(("stop", "status"), [(KeyboardInterrupt, INTERRUPTED), (float, 1)])
def test_a_stopped_training_keeps_its_best_and_says_where(
    stop: object, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _stop_in_epoch_two(monkeypatch, stop)
    arguments = (
        f"--data digits --image-size 32 --epochs 3 --limit 64 --batch-size 32 "
        f"--models-dir {tmp_path / 'models'} --out {tmp_path / 'results'}"
    )
    assert guard(tf_resnet.main, arguments.split()) == status
    weights = tmp_path / "models" / "resnet18_digits.keras"
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert str(weights) in last
    load(weights)
    (run,) = (tmp_path / "results").iterdir()
    assert str(run) in last
    assert json.loads((run / "run.json").read_text())["stopped"]
    assert len((run / "history.csv").read_text().splitlines()) == 2


def test_an_interrupt_before_the_first_epoch_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tf_trainer.Watch, "step", interrupt)
    with pytest.raises(KeyboardInterrupt, match="nothing to keep"):
        train(_recipe(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list((tmp_path / "results").iterdir()) == []


def test_a_models_folder_that_cannot_be_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(UserError, match="--models-dir"):
        train(_recipe(tmp_path))
    assert not (tmp_path / "results").exists()


def test_cuda_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_trainer.tf.config, "list_physical_devices", lambda kind: [])
    with pytest.raises(UserError, match="--device cuda"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == "cpu"
