"""Several devices train what one trains, and are refused where there are too few of them or of images."""

from __future__ import annotations

from models.tf import network  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from core.environment import REPOSITORY
from core.errors import UserError
from train.recipes import TfRecipe
from train.tf.together import shares_of, strategy_of


def test_three_devices_take_the_steps_of_one_and_one_goes_on_where_they_stopped() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.train.tf.replicas"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    by_one, by_three = np.array(told["steps_1"]), np.array(told["steps_3"])
    assert np.ptp(by_one[:, 0]) > 0.1  # a network that learns nothing would agree with any other
    np.testing.assert_allclose(by_three[:, 0], by_one[:, 0], rtol=1e-4)
    np.testing.assert_allclose(by_three[:, 1], by_one[:, 1], atol=1)  # a tie may break
    np.testing.assert_allclose(told["weights_3"], told["weights_1"], atol=1e-5)
    assert told["resumed"] == told["weights_3"]


@pytest.mark.parametrize(
    ("recipe", "device", "words"),
    [
        (TfRecipe(replicas=2, batch_size=7), "cpu", "--batch-size must be at least 8 for --replicas 2, not 7"),
        (TfRecipe(replicas=2), "cuda", "--replicas 2: TensorFlow finds 0 GPUs here; pass --replicas 1"),
    ],
)
def test_what_cannot_be_shared_is_refused(recipe: TfRecipe, device: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    with pytest.raises(UserError, match="^" + words):
        strategy_of(recipe, device)


def test_one_device_has_the_whole_batch() -> None:
    strategy = strategy_of(TfRecipe(), "cpu")
    assert strategy.num_replicas_in_sync == 1
    whole = tf.range(7)
    assert tf.reduce_all(shares_of(strategy, whole) == whole)
