"""Three small models of the bundled digits."""

from pathlib import Path

import pytest

from data import open_dataset
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, digits = tmp_path_factory.mktemp("models"), open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "temperature": 20.0}
    return [
        write_tiny_model(folder / f"{name}.onnx", seed=seed, dataset_sha256=digits.fingerprints(), **common)
        for seed, name in enumerate(["one", "two", "three"])
    ]
