"""Whole trainings in PyTorch, as short as they can be: what they write, repeat, keep and refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from core.cli import INTERRUPTED, guard
from core.errors import UserError
from data import open_dataset
from models.card import read_card
from models.torch.network import load
from train import torch_resnet
from train.images import loss_and_accuracy, training_data
from train.outcome import Outcome
from train.recipes import TorchRecipe
from train.torch import trainer as torch_trainer
from train.torch.batches import Batches
from train.torch.trainer import choose_device, logits_of, train
from train.watch import Watch

SMALL = "shufflenet_v2_x0_5"  # where it does not matter which network it is


def _recipe(folder: Path, **changes: object) -> TorchRecipe:
    fields = {
        "data": "digits", "weights": "none", "image_size": 32, "epochs": 2, "batch_size": 16, "limit": 48,
        "device": "cpu", "models_dir": folder / "models", "results_dir": folder / "results",
    }  # fmt: skip
    return TorchRecipe(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TorchRecipe, Outcome]:
    recipe = _recipe(tmp_path_factory.mktemp("trained"))
    return recipe, train(recipe)


def test_a_training_leaves_weights_card_and_run(trained: tuple[TorchRecipe, Outcome]) -> None:
    recipe, outcome = trained
    assert outcome.weights == recipe.models_dir / "resnet18_digits.pth"
    assert {path.name for path in outcome.run.iterdir()} == {
        "run.json", "history.csv", "accuracy.png", "loss.png", "confusion.png",
    }  # fmt: skip
    record = json.loads((outcome.run / "run.json").read_text())
    card = read_card(outcome.weights)
    assert record["dataset_sha256"] == card.dataset_sha256 == open_dataset("digits").fingerprints()
    assert record["stopped"] is None
    assert card.recipe["lr"] == record["recipe"]["lr"] == 5.59e-4
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


def test_the_weights_are_plain_float32_on_the_cpu(trained: tuple[TorchRecipe, Outcome]) -> None:
    _, outcome = trained
    state = torch.load(outcome.weights)
    m = torchvision.models.resnet18(weights=None)
    m.fc = torch.nn.Linear(m.fc.in_features, 10)
    m.load_state_dict(state)
    assert all(value.is_contiguous() and value.device.type == "cpu" for value in state.values())
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


def test_a_seed_repeats_a_training_and_a_range_test_changes_only_the_rate(tmp_path: Path) -> None:
    losses = {}
    for name, changes in {
        "first": {}, "found": {"find_lr": True, "find_lr_steps": 25, "lr": 5.59e-4}, "other": {"seed": 1},
    }.items():  # fmt: skip
        outcome = train(_recipe(tmp_path / name, epochs=1, arch=SMALL, **changes))
        losses[name] = read_card(outcome.weights).figures["validation_nll"]
        if name == "found":
            assert {"lr_finder.csv", "lr_finder.png"} <= {path.name for path in outcome.run.iterdir()}
            assert 1e-6 < json.loads((outcome.run / "run.json").read_text())["suggested_lr"] < 1
    assert losses["first"] == pytest.approx(losses["found"], rel=1e-5)
    assert losses["first"] != pytest.approx(losses["other"], rel=1e-5)


def test_the_suggested_rate_is_the_one_trained_at(tmp_path: Path) -> None:
    outcome = train(_recipe(tmp_path, epochs=1, arch=SMALL, find_lr=True, find_lr_steps=25))
    record = json.loads((outcome.run / "run.json").read_text())
    history = next(csv.DictReader((outcome.run / "history.csv").read_text().splitlines()))
    assert record["recipe"]["lr"] == record["suggested_lr"] == pytest.approx(float(history["lr"]), rel=1e-3)


def test_a_range_test_that_diverges_at_once_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", lambda logits, labels: logits.sum() * torch.nan)
    with pytest.raises(UserError, match="diverged after 0 steps"):
        train(_recipe(tmp_path, find_lr=True))
    assert list((tmp_path / "results").iterdir()) == []


def test_batches_are_every_image_once_and_differ_by_epoch(tmp_path: Path) -> None:
    images = training_data(_recipe(tmp_path)).train
    batches = Batches(images, _recipe(tmp_path), torch.device("cpu"))
    first, second = ([(x, y) for x, y in batches] for _ in range(2))
    batches.restart()
    again = list(batches)
    counts = np.bincount(torch.cat([labels for _, labels in first]), minlength=10)
    np.testing.assert_array_equal(counts, np.bincount(images.labels, minlength=10))
    assert first[0][0].is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(first[0][0], second[0][0])
    torch.testing.assert_close(first[0][0], again[0][0], rtol=0, atol=0)


def _stop_in_epoch_two(monkeypatch: pytest.MonkeyPatch, stop: object) -> None:
    whole_step = Watch.step

    def step(watch: Watch, n_images: int, mean_loss: float, n_right: float) -> None:
        if watch.history and stop is KeyboardInterrupt:
            raise KeyboardInterrupt
        whole_step(watch, n_images, float("nan") if watch.history else mean_loss, n_right)

    monkeypatch.setattr(torch_trainer.Watch, "step", step)


@pytest.mark.parametrize(("stop", "status"), [(KeyboardInterrupt, INTERRUPTED), (float, 1)])
def test_a_stopped_training_keeps_its_best_and_says_where(
    stop: object, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _stop_in_epoch_two(monkeypatch, stop)
    arguments = (
        f"--data digits --weights none --image-size 32 --epochs 3 --limit 64 --batch-size 32 "
        f"--models-dir {tmp_path / 'models'} --out {tmp_path / 'results'}"
    )
    assert guard(torch_resnet.main, arguments.split()) == status
    weights = tmp_path / "models" / "resnet18_digits.pth"
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

    monkeypatch.setattr(torch_trainer.Watch, "step", interrupt)
    with pytest.raises(KeyboardInterrupt, match="nothing to keep"):
        train(_recipe(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list((tmp_path / "results").iterdir()) == []


def test_weights_that_are_no_weights_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"w\.pth"):
        train(_recipe(tmp_path, weights=str(tmp_path / "w.pth")))
    assert list((tmp_path / "results").iterdir()) == []


def test_a_models_folder_that_cannot_be_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(UserError, match="--models-dir"):
        train(_recipe(tmp_path))
    assert not (tmp_path / "results").exists()


def test_cuda_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
