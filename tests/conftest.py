"""One framework a process: test files named after torch or tf are collected only with --framework torch or tensorflow."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Its deadline of 0.2 s an example is a stopwatch, which a busy machine fails.
hypothesis.settings.register_profile("no stopwatch", deadline=None)
hypothesis.settings.load_profile("no stopwatch")

_PREFIXES = {"torch": "test_torch_", "tensorflow": "test_tf_"}


# The benchmark's own environment has no trainer's command line; the `full` environment runs these tests.
_MISSING = {name for name in ("tyro",) if importlib.util.find_spec(name) is None}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--framework", choices=["none", *_PREFIXES], default="none", help="run the tests of this framework only")
    parser.addoption("--fuzz-all", action="store_true", help="try hundreds of hostile inputs of each kind, not a few")
    parser.addoption("--moments", type=int, help="at how many random moments each command is stopped")
    parser.addoption("--all-images", action="store_true", help="hold the shipped networks to their figures on all 10,000 images")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep each framework's test files out of every other process: torch and tensorflow must never meet in one."""
    if not collection_path.name.startswith("test_"):
        return None
    if "tyro" in _MISSING and "train" in (collection_path.parent.name, collection_path.parent.parent.name):
        return True
    wanted = config.getoption("--framework")
    needs = next((name for name, prefix in _PREFIXES.items() if collection_path.name.startswith(prefix)), "none")
    return True if needs != wanted else None


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """The folder that holds cifar-10-batches-py/; the test is skipped where $CIFAR10_DIR is unset."""
    folder = os.environ.get("CIFAR10_DIR")
    if not folder:
        pytest.skip("needs CIFAR-10: set $CIFAR10_DIR to the folder that holds cifar-10-batches-py/")
    return Path(folder)


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    """Commands that run in this process leave it the handlers of signals that it had."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
