"""What `python -m train.bench` times for Keras."""

from __future__ import annotations

import pytest

from tests.train.bench.step_law import require_turns_that_train
from train.bench import tf_step


# Keras' ImageDataGenerator, of the plain loop, calls scipy by an old name
@pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
@pytest.mark.usefixtures("narrow")
def test_both_loops_take_turns_and_train(monkeypatch: pytest.MonkeyPatch) -> None:
    require_turns_that_train(tf_step.main, monkeypatch)
