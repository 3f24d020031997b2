"""What the timed loops of both frameworks are held to: one turn of each, told line by line in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence

import pytest


def require_turns_that_train(main: Callable[[Sequence[str]], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both loops take turns, and each turn makes steps, whose images it counts, in the time that it tells."""
    wanted = {"seconds": 0.001, "rounds": 2, "image_size": 32, "batch_size": 8, "device": "cpu", "workers": 0}
    channel = io.StringIO()
    monkeypatch.setattr("train.bench.worker.own_stdout", lambda: channel)
    monkeypatch.setattr("train.bench.worker.WARM_UP_STEPS", 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(wanted)))
    main([])
    told, *turns = map(json.loads, channel.getvalue().splitlines())
    assert (told["device"], told["image_size"], told["batch_size"]) == ("cpu", 32, 8)
    assert [(turn["loop"], turn["round"]) for turn in turns] == [("ours", 1), ("plain", 1), ("plain", 2), ("ours", 2)]
    for turn in turns:
        assert 0 <= turn["data_s"] <= turn["elapsed_s"]
        assert 1 <= turn["n_steps"] <= turn["n_images"] <= 8 * turn["n_steps"]
