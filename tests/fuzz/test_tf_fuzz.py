"""The same law over Keras files; the runner is a process of its own, as for PyTorch's."""

from __future__ import annotations

import sys

import pytest

from tests.fuzz.test_fuzz import hold

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runner watches files by Linux's inotify")


def test_hostile_keras_files_are_one_line_and_run_nothing(pytestconfig: pytest.Config) -> None:
    hold("tf", 84 if pytestconfig.getoption("--fuzz-all") else 14)


def test_hostile_keras_files_through_the_whole_export(pytestconfig: pytest.Config) -> None:
    hold("keras", 82 if pytestconfig.getoption("--fuzz-all") else 12)
