"""What a training says and does at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_models import tiny_card, write_tiny_model
from train.outcome import Outcome


@pytest.mark.parametrize("replaces_export", [False, True])
def test_the_next_command_is_one_that_works(replaces_export: bool) -> None:
    outcome = Outcome(Path("m/a b.pth"), tiny_card(), Path("r"), 0.5, 10, 1, (), None, "my data", replaces_export)
    command = "python -m export.to_onnx 'm/a b.pth' --data 'my data'" + " --force" * replaces_export
    assert outcome.report().splitlines()[-1].removeprefix("next").strip() == command


def test_the_tiny_model_stands_for_an_export_of_other_weights(tmp_path: Path) -> None:
    from train.outcome import _is_of_another_training as needs_force

    onnx = write_tiny_model(tmp_path / "x_torch.onnx")
    assert needs_force(onnx, tiny_card())
    assert not needs_force(tmp_path / "free.onnx", tiny_card())


def test_no_path_forges_a_line() -> None:
    outcome = Outcome(Path("m/a\nnext b.pth"), tiny_card(), Path("r\nx"), 0.5, 10, 1, (), None, "my\ndata", False)
    assert [line.split()[0] for line in outcome.report().splitlines()] == ["weights", "card", "run", "validation", "next"]
