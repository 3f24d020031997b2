"""Children that answer one job after another: in order, never far ahead, and none outlives the one who asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import UserError
from core.launch.pool import answers

CHILD = """
import os, signal, time
from core.launch.pool import answer_jobs

def work(job):
    print("a library's own words")
    if job == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02 * (job[0] % 3))
    return job * 2 + b" %d" % os.getpid()

answer_jobs(work)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "answering_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "answering_child"


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_answers_come_in_order_and_jobs_are_taken_as_they_are_needed(child: str) -> None:
    taken: list[int] = []

    def jobs() -> Iterator[bytes]:
        for index in range(40):
            taken.append(index)
            yield bytes([index])

    heard, pids = [], set()
    for answer in answers(child, jobs(), 2, "doubling"):
        doubled, _, pid = answer.rpartition(b" ")
        heard.append(doubled)
        pids.add(int(pid))
        assert len(taken) <= len(heard) + 5
    assert heard == [bytes([index]) * 2 for index in range(40)]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_no_child_outlives_who_stops_listening(child: str) -> None:
    found = answers(child, (b"x" for _ in range(1000)), 1, "doubling")
    pid = int(next(found).rpartition(b" ")[2])
    found.close()
    assert gone(pid)


def test_a_child_that_is_killed_is_told(child: str) -> None:
    with pytest.raises(UserError, match="doubling: a process was ended by SIGKILL, perhaps for lack of memory"):
        list(answers(child, iter([b"a", b"die", *[b"b"] * 20]), 2, "doubling"))
