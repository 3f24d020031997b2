"""The laws of `tests.faults.runner` at a few moments of the quickest commands here, at 50 of every one by `tox -e faults`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from core.environment import REPOSITORY
from tests.faults.commands import COMMANDS
from tests.faults.runner import FAULTS

QUICK = {"train": 10, "ensemble": 10}  # moments of each where none are asked for
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runner looks for processes in Linux's /proc")


def told(what: str, count: int) -> list[dict[str, Any]]:
    """The lines of the runner."""
    command = [sys.executable, "-m", "tests.faults.runner", what, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


EVERY = [pytest.param(name, marks=[pytest.mark.optional] * (one.needed != "onnxruntime")) for name, one in COMMANDS.items()]


@pytest.mark.parametrize("command", EVERY)
def test_a_command_that_is_stopped_leaves_nothing_half_and_the_next_one_works(command: str, pytestconfig: pytest.Config) -> None:
    moments = pytestconfig.getoption("--moments") or QUICK.get(command)
    if moments is None:
        pytest.skip("tox -e faults stops every command")
    pytest.importorskip(COMMANDS[command].needed)
    found = told(command, moments)
    assert len(found) == moments
    assert {one["fault"] for one in found} == set(FAULTS[:moments])
    assert [one for one in found if one["broken"]] == []


@pytest.mark.optional
def test_two_commands_in_one_folder_make_what_each_makes_alone(pytestconfig: pytest.Config) -> None:
    for needed in ("tyro", "optuna"):
        pytest.importorskip(needed)
    few = pytestconfig.getoption("--moments") is None
    found = told("pairs", 3 if few else 1000)
    assert len(found) >= 3
    assert [one for one in found if one["broken"]] == []
