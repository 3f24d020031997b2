"""Children that work at the same time: none begins before all are ready, and none stops before all are done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import UserError
from core.launch import Killed
from core.launch.together import ask_together

CHILD = """
import os, sys, time
from core.errors import UserError
from core.launch.together import answer_together

def work(job, meeting):
    with open(job["pids"], "a") as file:
        file.write(f"{os.getpid()} ")
    time.sleep(job.get("slow_s", 0))
    if job.get("fails"):
        raise UserError("no room; free some")
    if job.get("dies"):
        os._exit(9)
    if job.get("killed"):
        os.kill(os.getpid(), 9)
    print("a library's own words")
    ready = time.perf_counter_ns()
    meeting.start()
    began = time.perf_counter_ns()
    while job.get("works_until") and not os.path.exists(job["works_until"]):
        time.sleep(0.001)
    ended = time.perf_counter_ns()
    meeting.stay(lambda: open(job["called"], "a").close() if "called" in job else None)
    told = {"ready": ready, "began": began, "ended": ended, "over": time.perf_counter_ns()}
    return {"index": job["index"], **told, "much": "x" * job.get("much", 0)}

if __name__ == "__main__":
    sys.exit(answer_together(work))
"""


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the children write their numbers; the module `made_up_together` can be run."""
    (tmp_path / "made_up_together.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "pids"


def ask(pids: Path, *jobs: dict[str, object]) -> list[dict[str, int]]:
    numbered = [{"index": i, "pids": str(pids), **job} for i, job in enumerate(jobs)]
    return ask_together("made_up_together", numbered, "timing", otherwise="try fewer")


def all_gone(pids: Path) -> bool:
    def is_gone(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    return all(is_gone(int(pid)) for pid in pids.read_text().split())


def test_all_begin_when_the_last_is_ready_and_call_until_the_last_is_done(pids: Path) -> None:
    """The second one works for as long as the first one, which is done, has not called again."""
    called = str(pids.with_name("called"))
    answers = ask(pids, {"slow_s": 0.2, "called": called}, {"works_until": called}, {"much": 1_000_000})
    assert [answer["index"] for answer in answers] == [0, 1, 2]
    assert max(answer["ready"] for answer in answers) <= min(answer["began"] for answer in answers)
    assert max(answer["ended"] for answer in answers) <= min(answer["over"] for answer in answers)
    assert all_gone(pids)


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("fails", UserError, "timing failed: no room; free some"),
        ("dies", UserError, "timing failed: a process exited with status 9 and no error message; try fewer"),
        ("killed", Killed, "timing failed: a process was ended by SIGKILL, perhaps for lack of memory; try fewer"),
    ],
)
def test_the_first_that_fails_ends_them_all(pids: Path, how: str, kind: type[UserError], words: str) -> None:
    with pytest.raises(kind) as raised:
        ask(pids, {}, {how: True})
    assert str(raised.value) == words
    assert all_gone(pids)


def test_a_crash_is_told_by_its_last_line(pids: Path) -> None:
    with pytest.raises(UserError, match=r"^timing failed: TypeError: .*; try fewer$"):
        ask(pids, {"slow_s": "long"}, {})
