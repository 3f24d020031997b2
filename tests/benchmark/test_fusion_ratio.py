import subprocess
import sys

import numpy as np
import pytest

from benchmark import latency
from benchmark.fusion_ratio import FUSED, SEQUENTIAL, measure, ratios
from core.environment import REPOSITORY
from tests.tiny_models import write_tiny_model


def test_ratios_by_hand_are_taken_within_rounds() -> None:
    # The machine is twice as slow in the second round, which must cancel
    p50_ms = {
        "1 a": np.array([1.0, 2, 1]),
        "2 b": np.array([3.0, 6, 3]),
        FUSED: np.array([5.0, 10, 5]),
        SEQUENTIAL: np.full(3, 10.0),
    }
    fused, sequential = ratios(p50_ms)
    assert fused.value == pytest.approx(1.25)
    assert fused.ci95 == pytest.approx((1.25, 1.25))
    assert sequential.value == pytest.approx(2.0)
    assert sequential.ci95 == pytest.approx((1.0, 2.0))


def test_everything_is_timed_once_a_round(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(latency, "SAMPLE_S", 0.02)
    paths = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed) for seed, name in enumerate("ab")]
    done = []
    p50_ms = measure(paths, 3, 2, 1, 0, lambda: done.append(1))
    assert list(p50_ms) == ["1 a", "2 b", FUSED, SEQUENTIAL]
    assert all(values.shape == (3,) and (values > 0).all() for values in p50_ms.values())
    assert len(done) == 3


def test_the_command_prints_both_ratios(tmp_path) -> None:
    paths = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed) for seed, name in enumerate("ab")]
    arguments = [sys.executable, "-m", "benchmark.fusion_ratio", *map(str, paths), "--rounds", "3"]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    assert "fused ÷ sum of the members' own p50: " in done.stdout
    assert "one after the other ÷ fused: " in done.stdout
