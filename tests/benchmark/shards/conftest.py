"""Two models and 300 images of three classes, in tar files and in class folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.packed_images import CLASS_NAMES, pictures, write_folder, write_tars
from tests.tiny_models import write_tiny_model

N = 300
LABELS = [CLASS_NAMES[code] for code in np.random.default_rng(5).integers(0, 3, N)]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are made of the tables that are compared here, and take longer than all else."""
    monkeypatch.setattr("benchmark.report.run_files.write_plots", lambda folder, results: [])


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    common = {"class_names": CLASS_NAMES, "dataset": "tars", "temperature": 20.0}
    return [write_tiny_model(folder / f"{name}.onnx", seed=seed, **common) for seed, name in enumerate("ab")]


@pytest.fixture(scope="session")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tars(tmp_path_factory.mktemp("packed") / "tars", pictures(N), LABELS, n_tars=3)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("loose") / "tars", pictures(N), LABELS)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 test images, ten batches, and 400 training images, of two sizes, in class folders."""
    root = tmp_path_factory.mktemp("many") / "tars"
    for split, n_images, seed in (("test", 1200, 1), ("train", 400, 2)):
        codes = np.random.default_rng(seed).integers(0, 3, n_images)
        small, large = pictures(n_images // 2, 8, seed), pictures(n_images // 2, 12, seed)
        images = [one for both in zip(small, large, strict=True) for one in both]
        write_folder(root / split, images, [CLASS_NAMES[code] for code in codes])
    return root
