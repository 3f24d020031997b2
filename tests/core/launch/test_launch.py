"""A long work in a child process: its lines come as it goes, its last word becomes the error, and it never outlives the call."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.launch import converse, own_environment

CHILD = """
import json, os, sys, time
from core.cli import run
from core.errors import UserError
from core.launch import own_stdout

def main(arguments):
    job = json.load(sys.stdin)
    channel = own_stdout()
    print("a library's own words")
    os.write(1, b"and those of its C++\\n")
    try:
        for part in job["parts"]:
            print(json.dumps({"part": part, "pid": os.getpid()}), file=channel, flush=True)
        if job.get("fails"):
            raise UserError("no room; free some")
        if job.get("dies"):
            os._exit(9)
        while job.get("waits"):
            time.sleep(0.01)
    except KeyboardInterrupt:
        print(json.dumps({"part": "kept", "pid": os.getpid()}), file=channel, flush=True)
        raise KeyboardInterrupt("interrupted; the best is kept")

run(main)
"""


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Where the messages go; the module `made_up_child` can be run."""
    (tmp_path / "made_up_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return []


def parts(heard: list[dict[str, Any]]) -> list[str]:
    return [message["part"] for message in heard]


def is_gone(heard: list[dict[str, Any]]) -> bool:
    try:
        os.kill(heard[0]["pid"], 0)
    except ProcessLookupError:
        return True
    return False


def test_messages_are_heard_in_order_and_noise_apart(heard: list[dict[str, Any]]) -> None:
    noise: list[str] = []
    converse("made_up_child", {"parts": ["a", "ü"]}, heard.append, what="work", noise=noise.append)
    assert parts(heard) == ["a", "ü"]
    assert sorted(noise) == ["a library's own words\n", "and those of its C++\n"]


@pytest.mark.parametrize(
    ("how", "word"), [("fails", "^no room; free some$"), ("dies", "^work exited with status 9 and no error message$")]
)
def test_a_failure_is_the_childs_last_word(heard: list[dict[str, Any]], how: str, word: str) -> None:
    with pytest.raises(UserError, match=word):
        converse("made_up_child", {"parts": ["a"], how: True}, heard.append, what="work")
    assert parts(heard) == ["a"]


def test_an_interrupt_is_passed_on_and_what_the_child_still_says_is_heard(heard: list[dict[str, Any]]) -> None:
    def interrupted_once(message: dict[str, Any]) -> None:
        heard.append(message)
        if len(heard) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^interrupted; the best is kept$"):
        converse("made_up_child", {"parts": ["a"], "waits": True}, interrupted_once, what="work")
    assert parts(heard) == ["a", "kept"]
    assert is_gone(heard)


def test_a_fault_of_the_listener_ends_the_child(heard: list[dict[str, Any]]) -> None:
    def faulty(message: dict[str, Any]) -> None:
        heard.append(message)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        converse("made_up_child", {"parts": ["a"], "waits": True}, faulty, what="work")
    assert is_gone(heard)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_child_ends_with_its_parent_even_if_that_is_killed(heard: list[dict[str, Any]]) -> None:
    job = {"parts": ["one"], "waits": True}
    code = f"from core.launch import converse\nconverse('made_up_child', {job!r}, lambda m: print(m['pid'], flush=True), what='x')"
    with subprocess.Popen([sys.executable, "-c", code], env=own_environment(), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child_id = int(parent.stdout.readline())
        parent.kill()
    assert wait_until_gone(child_id)


def wait_until_gone(process_id: int) -> bool:
    """Whether a process that is about to end has; a zombie that nobody waits for has."""
    for _ in range(1000):
        try:
            if Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False
