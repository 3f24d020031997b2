"""Folders of photographs, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.foreign_models import write_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "photos", n_train=30)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same test images, and fewer to train: nothing is searched on them."""
    return write_folder(tmp_path_factory.mktemp("few") / "photos", n_train=4)


@pytest.fixture(scope="module")
def images_u8(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "test").rglob("*.png"))])
