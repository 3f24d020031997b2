"""What the tests of both trainers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.train.narrow import narrow_resnet18

if TYPE_CHECKING:
    from tests.train.trainer_laws import Lost, Twin
    from train.outcome import Outcome

pytest.register_assert_rewrite("tests.train.trainer_laws")  # it is no test file by its name


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """Keras' "resnet18" is a small fraction of itself: no trainer's law depends on the network, and its tracing takes the time."""
    with narrow_resnet18():
        yield


@pytest.fixture(scope="module")
def whole(twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A training from its first to its last epoch."""
    return twin.train(twin.in_folder(tmp_path_factory.mktemp("whole")), pictures=True)


@pytest.fixture(scope="module")
def killed(twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that died in its second epoch."""
    from tests.train.trainer_laws import Killed, stop_in

    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        stop_in(patch, 2, Killed)
        twin.train(twin.in_folder(folder))
    return folder


@pytest.fixture(scope="module")
def lost(twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Lost:
    """A training with another seed that had to end in its second epoch."""
    from tests.train.trainer_laws import lose

    return lose(twin, tmp_path_factory.mktemp("lost"))


@pytest.fixture
def without_gpu() -> None:
    """A framework that might find a GPU has one of its own."""
