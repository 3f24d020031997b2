"""What `python -m train.bench` times for Keras: one turn of each loop, told line by line in this process."""

from __future__ import annotations

import io
import json

import pytest

from train.bench import tf_step


# Keras' ImageDataGenerator, of the plain loop, calls scipy by an old name
@pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
@pytest.mark.usefixtures("narrow")
def test_both_loops_take_turns_and_train(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"seconds": 0.001, "rounds": 2, "image_size": 32, "batch_size": 8, "device": "cpu", "workers": 0}
    channel = io.StringIO()
    monkeypatch.setattr("train.bench.worker.own_stdout", lambda: channel)
    monkeypatch.setattr("train.bench.worker.WARM_UP_STEPS", 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(wanted)))
    tf_step.main([])
    told, *turns = map(json.loads, channel.getvalue().splitlines())
    assert (told["device"], told["image_size"], told["batch_size"]) == ("cpu", 32, 8)
    assert [(turn["loop"], turn["round"]) for turn in turns] == [("ours", 1), ("plain", 1), ("plain", 2), ("ours", 2)]
    for turn in turns:
        assert 0 <= turn["data_s"] <= turn["elapsed_s"]
        assert 1 <= turn["n_steps"] <= turn["n_images"] <= 8 * turn["n_steps"]
