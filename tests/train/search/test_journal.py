"""The journal as a file: its lock is taken from the dead, its lines stay whole, and of two that begin a study one does."""

from __future__ import annotations

import os
import platform
import threading
from pathlib import Path

import pytest

from core.errors import UserError
from tests.full_disk import files_of
from tests.train.search.test_study import MEANING, SPACE, ask, dead_process_id, opened
from train.search import study as of_study
from train.search.journal import JournalLock, cut_torn_line
from train.search.study import START, Worker, give_back_lost

TORN = ((b"", b""), (b"a", b""), (b"a\n", b"a\n"), (b"a\nb", b"a\n"), (b"a\n" + b"b" * 200_000, b"a\n"), (b"\n\n", b"\n\n"))


@pytest.mark.parametrize(("held", "left"), TORN, ids=range(len(TORN)))
def test_what_follows_the_last_line_feed_is_cut_off(tmp_path: Path, held: bytes, left: bytes) -> None:
    (tmp_path / "s").write_bytes(held)
    cut_torn_line(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == left


def test_a_lock_is_taken_from_a_process_that_was_killed_and_from_no_other(tmp_path: Path) -> None:
    lock, begun = JournalLock(tmp_path / "s"), threading.Event()
    os.symlink(f"{platform.node()}-{dead_process_id()}-1", lock.path)
    lock.acquire()
    assert os.readlink(lock.path) == lock.owner

    def wait() -> None:
        begun.set()
        other = JournalLock(tmp_path / "s")
        other.acquire()
        other.release()

    waiting = threading.Thread(target=wait)
    waiting.start()
    begun.wait()
    assert os.readlink(lock.path) == lock.owner  # the other thread is no owner, and this process lives
    lock.acquire()  # as after Ctrl-C between having it and knowing it
    lock.release()
    waiting.join()
    assert not os.path.lexists(lock.path)


def test_who_has_lost_the_lock_does_not_take_it_from_the_next_owner(tmp_path: Path) -> None:
    lock = JournalLock(tmp_path / "s")
    os.symlink(f"{platform.node()}-{os.getppid()}-1", lock.path)
    lock.release()
    assert os.path.lexists(lock.path)


def test_a_full_disk_leaves_whole_lines_and_the_next_process_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "s"
    study = opened(journal)
    for room in (1, 50, 200):
        with files_of(journal.stat().st_size + room), pytest.raises(UserError, match=r"cannot write .*; raise the limit"):
            for _ in range(4):
                study.ask(SPACE)
        assert journal.read_bytes().endswith(b"\n")
        study = opened(journal, resume=True)
    assert not list(tmp_path.glob("*.lock"))


def test_of_two_that_begin_a_study_at_once_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = of_study._begin

    def begin(*arguments: object) -> None:
        monkeypatch.undo()
        whole(*arguments)  # type: ignore[arg-type]
        opened(journal, recipe={"epochs": 9, "seed": 0})  # another search, between the look and the making

    journal = tmp_path / "s"
    monkeypatch.setattr(of_study, "_begin", begin)
    with pytest.raises(UserError, match="is an existing study"):
        opened(journal)
    assert opened(journal, resume=True, recipe={"epochs": 9, "seed": 0}).user_attrs["meaning"] == {
        **MEANING,
        "recipe": {"epochs": 9, "seed": 0},
    }
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_trial_whose_process_died_before_it_said_its_name_is_lost_if_nobody_else_is_at_work(tmp_path: Path) -> None:
    journal = tmp_path / "s"
    study, me, neighbour = opened(journal), Worker(journal), Worker(journal)
    first = study.ask()  # died before any parameter was drawn
    with me.living():
        with neighbour.living():
            assert give_back_lost(study, me) == []
        assert give_back_lost(study, me) == [first.number]
        again = ask(study, me.name)
    assert again.params == {"lr": 0.15, "arch": "b"}  # of the recipe that the search begins from
    assert again.user_attrs[START]


def test_signs_of_life_of_the_dead_are_removed(tmp_path: Path) -> None:
    me = Worker(tmp_path / "s")
    with me.living():
        (me.folder / f"{platform.node()}-{dead_process_id()}-x").touch()
    assert not me.folder.exists()
