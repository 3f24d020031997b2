"""Two files that take the digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from data import open_dataset
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="package")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    digits, folder = open_dataset("digits"), tmp_path_factory.mktemp("models")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    return [write_tiny_model(folder / f"{name}.onnx", seed=seed, **common) for seed, name in enumerate("ab")]
