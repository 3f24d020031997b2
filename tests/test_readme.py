"""The commands of README and the guide, without running them: each is classified, and each flag is one that its command knows."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from itertools import chain

import pytest

from tests.readme import BLOCKS, REPOSITORY, Expected, command_blocks

COMMANDS = list(chain.from_iterable(command_blocks()))


def test_the_first_command_is_the_install_that_takes_no_framework() -> None:
    (first,) = command_blocks()[0]
    assert first.startswith("python -m venv")
    assert not {"torch", "tensorflow", "--group"} & set(shlex.split(first))


def test_every_command_is_run_on_a_bare_clone_or_says_why_not() -> None:
    """A new line of either fails here until `tests/readme.py` says what is expected of it."""
    assert [list(block) for block in BLOCKS] == command_blocks()
    for command, wanted in chain.from_iterable(block.items() for block in BLOCKS):
        if wanted != Expected():
            assert wanted.why or wanted == Expected((0, 3)), command


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_knows_its_targets(command: str) -> None:
    done = subprocess.run(["make", "--dry-run", *shlex.split(command)[1:]], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_flag_is_one_that_its_command_knows() -> None:
    flags: dict[tuple[str, ...], set[str]] = {}
    for command in COMMANDS:
        words = shlex.split(command)
        if "-m" not in words or "venv" in words:
            continue
        at = words.index("-m") + 1
        given = {word for word in words[at:] if word.startswith("--")}
        name = tuple(words[at : at + 2]) if words[at + 1 : at + 2] in (["compare"], ["load"], ["show"]) else (words[at],)
        flags.setdefault(name, set()).update(given)
    for name, given in flags.items():
        if name[0].startswith("train.") and importlib.util.find_spec("tyro") is None:
            continue  # the benchmark's own environment has no trainer's command line
        done = subprocess.run([sys.executable, "-m", *name, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        assert given <= set(re.findall(r"--[a-z0-9-]+", done.stdout)), name
