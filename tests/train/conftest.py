"""What the tests of both trainers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.train.narrow import narrow_resnet18


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """Keras' "resnet18" is a small fraction of itself: no trainer's law depends on the network, and its tracing takes the time."""
    with narrow_resnet18():
        yield
