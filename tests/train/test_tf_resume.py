"""A training that is killed goes on to the same history, and never from a checkpoint that is not its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.cli import guard
from core.errors import UserError
from tests.train.killed import history, train_and_kill
from train import tf_resnet
from train.checkpoint import checkpoint_path
from train.recipes import TfRecipe, from_command_line
from train.tf.trainer import train

# Keras hands TensorFlow variables to h5py through numpy's older protocol
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.usefixtures("narrow"),
]


def _arguments(folder: Path, *more: str) -> list[str]:
    # every part of the state is in it: momentum, one-cycle, average, and chance from Keras' layers
    fixed = (
        "--recipe fast --data digits --limit 48 --batch-size 16 --epochs 3 --image-size 32 --mixup 0.2 "
        f"--random-erasing 0.5 --device cpu --models-dir {folder / 'models'} --out {folder / 'results'}"
    )
    return [*fixed.split(), *more]


def _recipe(folder: Path, *more: str) -> TfRecipe:
    return from_command_line(TfRecipe, _arguments(folder, *more), "train.tf_resnet")


@pytest.fixture(scope="module")
def killed(narrow: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    train_and_kill("train.tf_resnet", _arguments(folder), checkpoint_path(folder / "models" / "resnet18_digits.keras"))
    return folder


def _checkpoint(folder: Path) -> Path:
    return checkpoint_path(folder / "models" / "resnet18_digits.keras")


def test_a_checkpoint_of_another_recipe_is_refused_in_one_line(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard(tf_resnet.main, _arguments(killed, "--resume", "--lr", "0.2")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--lr was 0.1, is 0.2" in line
    assert _checkpoint(killed).exists()


@pytest.mark.parametrize("kind", ["cut", "hostile", "other"])
def test_a_damaged_checkpoint_is_refused_and_never_run(killed: Path, tmp_path: Path, kind: str) -> None:
    path = _checkpoint(tmp_path)
    path.parent.mkdir()
    whole = _checkpoint(killed).read_bytes()
    if kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        with open(path, "wb") as file:
            np.savez(file, progress=np.array([Path()], dtype=object) if kind == "hostile" else np.array("{}"))
    with pytest.raises(UserError, match="not a whole checkpoint"):
        train(_recipe(tmp_path, "--resume"))


def test_a_killed_training_ends_like_one_that_was_not(killed: Path, tmp_path: Path) -> None:
    again = train(_recipe(killed, "--resume"))
    whole = train(_recipe(tmp_path))
    np.testing.assert_allclose(history(killed / "results"), history(tmp_path / "results"), rtol=1e-3)
    assert again.best_epoch == whole.best_epoch
    assert not _checkpoint(killed).exists()
    assert not _checkpoint(tmp_path).exists()


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no checkpoint"):
        train(_recipe(tmp_path, "--resume"))
