"""A real search in PyTorch: a Pareto front whose p50 the benchmark's instrument measured of each network's export."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.recipes import TorchRecipe
from train.search import latency
from train.search.trials import Plan, run_search
from train.torch.trainer import FRAMEWORK


def test_networks_are_trained_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "N_PROCESSES", 1)
    monkeypatch.setattr(latency, "SAMPLE_S", 0.1)
    monkeypatch.setattr("train.search.report.draw", lambda folder, study: None)
    base = TorchRecipe(
        data="digits", weights="none", arch="squeezenet1_1", image_size=32, epochs=1, batch_size=16, limit=64, device="cpu",
        models_dir=tmp_path / "models", results_dir=tmp_path / "results",
    )  # fmt: skip
    found = run_search(Plan(base, trials=2, objectives=("accuracy", "latency"), held=("arch", "image_size", "mixup")), FRAMEWORK)
    table = found.trials
    assert table.state.tolist() == ["complete", "complete"]
    assert (table.p50_ms > 0).all()
    assert table.p50_ms.nunique() == 1  # one network, timed once
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").iterdir())
