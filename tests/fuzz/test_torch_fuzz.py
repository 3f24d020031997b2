"""The same law over PyTorch's weights and checkpoints; no process of a test may import torch twice, so the runner's does."""

from __future__ import annotations

import sys

import pytest

from tests.fuzz.test_fuzz import hold

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runner watches files by Linux's inotify")


def test_hostile_weights_are_one_line_and_run_nothing(pytestconfig: pytest.Config) -> None:
    hold("torch", 51 if pytestconfig.getoption("--fuzz-all") else 17)


def test_hostile_pth_files_through_the_whole_export(pytestconfig: pytest.Config) -> None:
    hold("pth", 59 if pytestconfig.getoption("--fuzz-all") else 8)
