"""The PyTorch trainer under the laws of every trainer, and what is PyTorch's own: state dict, range test, fp16."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision

from core.errors import UserError
from core.records import Float32Array, ImageSet
from models.torch.network import load, preprocessing_of
from tests.train.trainer_laws import TrainerLaws, Twin, no_pictures
from train.images import loss_and_accuracy, training_data
from train.loop import run_training
from train.outcome import Outcome
from train.recipes import TorchRecipe
from train.torch.batches import Batches
from train.torch.state import State, halved
from train.torch.trainer import FRAMEWORK, choose_device, logits_of

SMALL = "shufflenet_v2_x0_5"


def _recipe(folder: Path, **changes: object) -> TorchRecipe:
    fields = {
        "data": "digits", "weights": "none", "arch": SMALL, "image_size": 32, "epochs": 1, "batch_size": 16, "limit": 48,
        "device": "cpu", "models_dir": folder / "models", "results_dir": folder / "results",
    }  # fmt: skip
    return TorchRecipe(**{**fields, **changes})  # type: ignore[arg-type]


def train(recipe: TorchRecipe) -> Outcome:
    with no_pictures():
        return run_training(recipe, FRAMEWORK)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in torch.load(path, weights_only=True).items()}


def _logits(path: Path, images: ImageSet) -> Float32Array:
    model, card = load(path)
    assert card.preprocessing is not None
    return logits_of(model, images, card.preprocessing)


def _write_foreign(path: Path, kind: str) -> None:
    torch.save(Path if kind == "hostile" else {"progress": "{}"}, path)


@pytest.fixture(scope="module")
def twin() -> Twin:
    # momentum, one-cycle, average, growing images, and chance from torchvision's transforms
    recipe = TorchRecipe(
        data="digits", weights="none", arch=SMALL, image_size=40, start_size=32, epochs=3, batch_size=16, limit=48, device="cpu",
        optimizer="sgd", lr=0.1, schedule="onecycle", label_smoothing=0.1, ema_decay=0.998, weight_decay=5e-4, shift=0.125,
        cutout=0.25, mixup=0.2, random_erasing=0.5,
    )  # fmt: skip
    return Twin(FRAMEWORK, recipe, _arrays, _logits, _write_foreign, rtol=0)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


class TestTorch(TrainerLaws):
    """PyTorch's."""


def test_the_weights_are_a_plain_state_dict(whole: Outcome) -> None:
    state = torch.load(whole.weights)
    torchvision.models.get_model(SMALL, num_classes=10).load_state_dict(state)
    assert all(value.is_contiguous() and value.device.type == "cpu" for value in state.values())
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


def test_a_range_test_says_the_rate_and_changes_nothing_else(tmp_path: Path) -> None:
    found = train(_recipe(tmp_path / "found", find_lr=True, find_lr_steps=25))
    assert {"lr_finder.csv", "lr_finder.png"} <= {path.name for path in found.run.iterdir()}
    record = json.loads((found.run / "run.json").read_text())
    with open(found.run / "lr_finder.csv", newline="") as file:
        rates, losses = np.array([[float(row["lr"]), float(row["smoothed_loss"])] for row in csv.DictReader(file)][10:-5]).T
    steepest = int(np.gradient(losses).argmin())  # where the loss falls most from step to step, without both ends
    assert record["suggested_lr"] == pytest.approx(rates[steepest], rel=1e-4)
    history = next(csv.DictReader((found.run / "history.csv").read_text().splitlines()))
    assert record["recipe"]["lr"] == record["suggested_lr"] == pytest.approx(float(history["lr"]), rel=1e-3)
    told = train(_recipe(tmp_path / "told", lr=record["suggested_lr"]))
    a, b = _arrays(found.weights), _arrays(told.weights)
    assert all(np.array_equal(a[name], b[name]) for name in b)


def test_a_range_test_that_diverges_at_once_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", lambda logits, labels: logits.sum() * torch.nan)
    with pytest.raises(UserError, match="diverged after 0 steps"):
        train(_recipe(tmp_path, find_lr=True))
    assert not (tmp_path / "results").exists()


def test_it_takes_all_cores_unless_the_user_or_torchrun_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("train.torch.trainer.available_cores", lambda: 6)
    try:
        for own, n_here, expected in ((None, "1", 6), ("5", "1", 4), ("1", "2", 3)):  # torchrun sets 1 for whoever says nothing
            torch.set_num_threads(4)
            monkeypatch.setenv("LOCAL_WORLD_SIZE", n_here)
            if own is None:
                monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
            else:
                monkeypatch.setenv("OMP_NUM_THREADS", own)
            choose_device("cpu")
            assert torch.get_num_threads() == expected  # torch has read a user's own as it was imported
    finally:
        torch.set_num_threads(before)


def test_weights_that_are_no_weights_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"w\.pth"):
        train(_recipe(tmp_path, weights=str(tmp_path / "w.pth")))
    assert not (tmp_path / "results").exists()


def test_batches_are_every_image_once_and_differ_by_epoch(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    images = training_data(recipe).train
    batches = Batches(images, recipe, preprocessing_of(SMALL, 32))
    first, second, again = (list(batches.epoch(number)) for number in (0, 1, 0))
    counts = np.bincount(torch.cat([labels for _, labels in first]), minlength=10)
    np.testing.assert_array_equal(counts, np.bincount(images.labels, minlength=10))
    assert first[0][0].is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(first[0][0], second[0][0])
    torch.testing.assert_close(first[0][0], again[0][0], rtol=0, atol=0)


def test_compiled_steps_are_the_same_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through Dynamo without its code generator, which takes minutes: the weights that are written have their plain names."""
    whole_compile, calls = torch.compile, []

    def compiling(model: torch.nn.Module) -> object:
        calls.append(model)
        return whole_compile(model, backend="eager")

    monkeypatch.setattr(torch, "compile", compiling)
    losses, names = {}, {}
    batches = list(Batches(training_data(_recipe(tmp_path)).train, _recipe(tmp_path), preprocessing_of(SMALL, 32)).epoch(0))
    for compiled in (False, True):
        torch.manual_seed(0)
        state = State(_recipe(tmp_path, arch="squeezenet1_1", compile=compiled), 10, "fp32", len(batches))
        torch.manual_seed(1)  # dropout
        losses[compiled] = [state.step(*batch)[0] for batch in batches]
        names[compiled] = list(state.copy_weights())
    assert len(calls) == 1
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)
    assert names[True] == names[False]


def test_half_weights_are_half_the_size_and_judged_as_they_are_written(tmp_path: Path) -> None:
    outcome = train(_recipe(tmp_path, half_weights=True))
    state = torch.load(outcome.weights, weights_only=True)
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    torch.save({name: value.float() for name, value in state.items()}, tmp_path / "whole.pth")
    assert outcome.weights.stat().st_size < 0.65 * (tmp_path / "whole.pth").stat().st_size  # with 340 names in each file
    validation = training_data(_recipe(tmp_path)).validation
    _, accuracy = loss_and_accuracy(_logits(outcome.weights, validation), validation.labels)
    assert accuracy == outcome.validation_accuracy


def test_what_fp16_cannot_hold_is_moved_to_its_ends() -> None:
    weights = {"w": torch.tensor([1e9, -1e9, 0.5]), "n": torch.tensor(3)}
    assert {name: value.tolist() for name, value in halved(weights).items()} == {"w": [65504.0, -65504.0, 0.5], "n": 3}


def test_evaluation_leaves_the_mode_of_the_network(tmp_path: Path) -> None:
    images = training_data(_recipe(tmp_path)).validation
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.LazyLinear(10))
    logits = [logits_of(model, images, preprocessing_of(SMALL, 8)) for _ in range(2)]
    assert model.training
    np.testing.assert_array_equal(*logits)  # without dropout


def test_the_clock_of_a_profile_waits_for_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[None] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(None))
    State.wait(SimpleNamespace(device=torch.device("cpu")))  # type: ignore[arg-type]
    assert waits == []
    State.wait(SimpleNamespace(device=torch.device("cuda")))  # type: ignore[arg-type]
    assert waits == [None]


def test_first_weights_are_not_read_where_a_checkpoint_is(twin: Twin, killed: Path, tmp_path: Path) -> None:
    recipe = replace(twin.in_folder(tmp_path), weights="gone.pth")
    with pytest.raises(UserError, match=r"no file gone\.pth"):
        twin.train(recipe)
    # refused for the recipe, which is compared only once the network is there
    path = twin.checkpoint(recipe)
    path.parent.mkdir(parents=True)  # what is refused leaves no folder
    path.write_bytes(twin.checkpoint(twin.in_folder(killed)).read_bytes())
    with pytest.raises(UserError, match=r"--weights was none, is gone\.pth"):
        twin.train(replace(recipe, resume=True))
