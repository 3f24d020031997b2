"""Jobs run in processes here or on a Ray cluster: the same answers, killed ones again, and the first error ends all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import UserError
from core.launch.launchers import launcher, local

CHILD = """
import os, signal, sys, time
from pathlib import Path
from core.errors import UserError
from core.launch import answer_parent

def work(job):
    mark = Path(job["folder"], str(job["number"]))
    attempt = len(list(mark.parent.glob(mark.name + "-*")))
    mark.with_name(f"{mark.name}-{attempt}-{os.getpid()}").touch()
    if attempt < job.get("dies", 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if "fails" in job:
        raise UserError(job["fails"])
    time.sleep(job.get("takes_s", 0))
    return {"square": job["number"] ** 2}

answer_parent(work)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "squaring_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "squaring_child"


def attempts(folder: Path, number: int) -> list[int]:
    """The processes that had a job."""
    return [int(path.name.split("-")[2]) for path in folder.glob(f"{number}-*")]


def test_every_job_is_answered_and_a_killed_one_is_done_again(child: str, tmp_path: Path) -> None:
    jobs = [{"folder": str(tmp_path), "number": number, "dies": 2 if number == 1 else 0} for number in range(4)]
    answers = dict(launcher("local", 2)(child, jobs, "job {}".format))
    assert answers == {number: {"square": number**2} for number in range(4)}
    assert [len(attempts(tmp_path, number)) for number in range(4)] == [1, 3, 1, 1]


def test_a_job_that_is_killed_every_time_is_told(child: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="job 0 failed: its process ended with status -9"):
        list(local(1)(child, [{"folder": str(tmp_path), "number": 0, "dies": 9}], "job {}".format))
    assert len(attempts(tmp_path, 0)) == 3


def test_the_first_error_ends_the_others(child: str, tmp_path: Path) -> None:
    slow = {"folder": str(tmp_path), "number": 0, "takes_s": 60}
    failing = {"folder": str(tmp_path), "number": 1, "fails": "no room"}
    with pytest.raises(UserError, match="job 1 failed: no room"):
        list(local(2)(child, [slow, failing, {**slow, "number": 2}], "job {}".format))
    assert attempts(tmp_path, 2) == []
    assert len(attempts(tmp_path, 0)) <= 1, "what was ended is not done again"
    for pid in attempts(tmp_path, 0):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
