"""A training that is killed goes on to the same history, bit for bit, and never from a checkpoint that is not its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.cli import guard
from core.errors import UserError
from tests.train.killed import history, train_and_kill
from train import torch_resnet
from train.checkpoint import checkpoint_path
from train.recipes import TorchRecipe, from_command_line
from train.torch.trainer import train


def _arguments(folder: Path, *more: str) -> list[str]:
    # every part of the state is in it: momentum, one-cycle, average, growing images, and chance from torchvision's transforms
    fixed = (
        "--recipe fast --data digits --limit 48 --batch-size 16 --epochs 3 --image-size 40 --start-size 32 --mixup 0.2 "
        f"--random-erasing 0.5 --arch shufflenet_v2_x0_5 --device cpu --models-dir {folder / 'models'} --out {folder / 'results'}"
    )
    return [*fixed.split(), *more]


def _recipe(folder: Path, *more: str) -> TorchRecipe:
    return from_command_line(TorchRecipe, _arguments(folder, *more), "train.torch_resnet")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    train_and_kill("train.torch_resnet", _arguments(folder), checkpoint_path(folder / "models" / "shufflenet_v2_x0_5_digits.pth"))
    return folder


def _checkpoint(folder: Path) -> Path:
    return checkpoint_path(folder / "models" / "shufflenet_v2_x0_5_digits.pth")


def test_a_checkpoint_of_another_recipe_is_refused_in_one_line(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard(torch_resnet.main, _arguments(killed, "--resume", "--lr", "0.2")) == 1
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
        torch.save(Path if kind == "hostile" else {"progress": "{}"}, path)
    with pytest.raises(UserError, match="not a whole checkpoint"):
        train(_recipe(tmp_path, "--resume"))


def test_a_killed_training_ends_like_one_that_was_not(killed: Path, tmp_path: Path) -> None:
    again = train(_recipe(killed, "--resume"))
    whole = train(_recipe(tmp_path))
    assert history(killed / "results") == history(tmp_path / "results")
    resumed, uninterrupted = (torch.load(outcome.weights, weights_only=True) for outcome in (again, whole))
    for name, value in uninterrupted.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0)
    assert not _checkpoint(killed).exists()
    assert not _checkpoint(tmp_path).exists()


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no checkpoint"):
        train(_recipe(tmp_path, "--resume"))
