"""Sessions one after the other: every member runs once in each call."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.latency import sequential_worker
from models.runtimes.onnx_runtime import OnnxRuntimeModel
from tests.tiny_models import write_tiny_model


def test_each_call_runs_every_member_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    made: list[object] = []
    call_of = OnnxRuntimeModel.call

    def counted(model: OnnxRuntimeModel, *arguments: object, **options: object) -> Callable[[], None]:
        member, call = len(made), call_of(model, *arguments, **options)  # type: ignore[arg-type]
        made.append(call)
        return lambda: (ran.append(member), call())[1]

    monkeypatch.setattr(OnnxRuntimeModel, "call", counted)
    monkeypatch.setattr(gc, "disable", lambda: None)
    paths = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed) for seed, name in enumerate("abc")]
    np.save(tmp_path / "images.npy", np.zeros((4, 8, 8, 3), np.uint8))
    job = {"paths": paths, "threads": 1, "batch_size": 2, "images": tmp_path / "images.npy", "sample_s": 0.01}
    answer = sequential_worker.measure(job)
    assert ran == [0, 1, 2] * (len(ran) // 3)
    assert len(ran) // 3 > len(answer["samples_ms"]) >= 1  # a first call and warm-up besides
    assert min(answer["samples_ms"]) > 0
