"""What `python -m train.bench` times for PyTorch."""

from __future__ import annotations

import pytest

from tests.train.bench.step_law import require_turns_that_train
from train.bench import torch_step


def test_both_loops_take_turns_and_train(monkeypatch: pytest.MonkeyPatch) -> None:
    require_turns_that_train(torch_step.main, monkeypatch)
