"""One server for all tests that need no flags of their own; skipped where the packages of the group `serve` are missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.command import NEEDED
from tests.serve.serving import Server, serving
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="session")
def needs_serve() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: the group serve")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models for images of 8 × 12 pixels, with names that a URL has to quote."""
    folder = tmp_path_factory.mktemp("served")
    return [
        write_tiny_model(folder / name, seed=seed, image_height=8, image_width=12, n_classes=7, dataset="shapes")
        for seed, name in enumerate(("first.onnx", "with space.onnx"))
    ]


@pytest.fixture(scope="session")
def server(needs_serve: None, models: list[Path]) -> Iterator[Server]:
    with serving(models, "--max-batch", "16", "--max-body-mb", "2") as started:
        yield started
