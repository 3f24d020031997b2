"""The laws of `tests.faults.runner` at a few moments of the quickest commands here, at many of every one by `tox -e faults`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from core.environment import REPOSITORY
from tests.faults.runner import COMMANDS, FAULTS

QUICK = ("train", "ensemble")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runner looks for processes in Linux's /proc")


def told(what: str, count: int) -> list[dict[str, Any]]:
    """The lines of the runner."""
    command = [sys.executable, "-m", "tests.faults.runner", what, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_stopped_leaves_nothing_half_and_the_next_one_works(command: str, pytestconfig: pytest.Config) -> None:
    moments = pytestconfig.getoption("--moments")
    if moments is None and command not in QUICK:
        pytest.skip("tox -e faults stops every command")
    pytest.importorskip("tyro" if command == "train" else "uvicorn" if command == "serve" else "onnxruntime")
    found = told(command, moments or 1)
    assert len(found) == len(FAULTS) * (moments or 1)
    assert [one for one in found if one["broken"]] == []


def test_two_commands_in_one_folder_make_what_each_makes_alone(pytestconfig: pytest.Config) -> None:
    pytest.importorskip("tyro")
    found = told("pairs", 3 if pytestconfig.getoption("--moments") is None else 100)
    assert len(found) >= 3
    assert [one for one in found if one["broken"]] == []
