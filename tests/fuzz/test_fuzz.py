"""The law of `tests.fuzz.runner` over seeded hostile inputs: a few of each kind here, hundreds by `tox -e fuzz`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from core.environment import REPOSITORY

FEW = {"onnx": 28, "others": 32, "flags": 24, "trainers": 20}
MANY = {"onnx": 160, "others": 130, "flags": 150, "trainers": 160}  # `--fuzz-all`
NEEDS = {"trainers": "tyro"}


def outcomes(kind: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """What became of `count` inputs of one kind."""
    command = [sys.executable, "-m", "tests.fuzz.runner", kind, str(count), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env={**os.environ}, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def hold(kind: str, count: int, seed: int = 0) -> None:
    """Every input of a kind keeps the law."""
    found = outcomes(kind, count, seed)
    assert len(found) == count
    print(dict(Counter(outcome["kind"] for outcome in found)))
    assert [outcome for outcome in found if outcome["fault"]] == []


@pytest.mark.skipif(sys.platform != "linux", reason="the runner watches files by Linux's inotify")
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.optional if kind in NEEDS else ()) for kind in FEW])
def test_hostile_input_is_one_line_and_changes_nothing(kind: str, pytestconfig: pytest.Config) -> None:
    pytest.importorskip(NEEDS.get(kind, "onnx"))
    everything = pytestconfig.getoption("--fuzz-all")
    hold(kind, (MANY if everything else FEW)[kind])
