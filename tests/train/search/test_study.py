"""The journal: many processes share it, a torn line is cut off, and the trials of dead processes are done again once."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from core.errors import UserError
from train.search.space import Interval
from train.search.study import SILENT_FOR_S, START, Worker, distributions, give_back_lost, open_study, quiet_optuna

SPACE = distributions({"lr": Interval(0.1, 0.2), "arch": ("a", "b")})
MEANING: dict[str, Any] = {"recipe": {"epochs": 3, "seed": 0}, "space": {"lr": "0.1 to 0.2"}, "objectives": ["accuracy"]}


@pytest.fixture(autouse=True)
def quiet() -> None:
    quiet_optuna()


def opened(journal: Path, *, resume: bool = False, **changes: Any) -> optuna.Study:
    return open_study(journal, {**MEANING, **changes}, {"lr": 0.15, "arch": "b"}, resume=resume, seed=0)


def ask(study: optuna.Study, worker: str) -> optuna.Trial:
    trial = study.ask(SPACE)
    trial.set_user_attr("worker", worker)
    return trial


def dead_process_id() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_the_first_trial_is_the_recipe_itself_and_others_are_drawn_from_the_space(tmp_path: Path) -> None:
    study = opened(tmp_path / "s")
    first, second = study.ask(SPACE), study.ask(SPACE)
    assert first.params == {"lr": 0.15, "arch": "b"}
    assert first.user_attrs[START]
    assert 0.1 <= second.params["lr"] <= 0.2
    assert not second.user_attrs.get(START)


def test_two_processes_see_one_study(tmp_path: Path) -> None:
    one = opened(tmp_path / "s")
    other = opened(tmp_path / "s", resume=True)
    numbers = [study.ask(SPACE).number for study in (one, other, one, other)]
    assert numbers == [0, 1, 2, 3]
    one.tell(2, 0.5)
    assert [trial.state for trial in other.trials][2] == TrialState.COMPLETE


@pytest.mark.parametrize("torn", [b'{"op_code":6,"worker', b"{", b'{"op_code": 8}'])
def test_a_line_that_a_kill_tore_is_cut_off_and_what_follows_is_read(tmp_path: Path, torn: bytes) -> None:
    journal = tmp_path / "s"
    opened(journal).tell(opened(journal, resume=True).ask(SPACE).number, 0.5)
    with open(journal, "ab") as file:
        file.write(torn)
    study = opened(journal, resume=True)
    study.tell(study.ask(SPACE), 0.7)
    assert [trial.value for trial in opened(journal, resume=True).trials] == [0.5, 0.7]


def test_a_journal_is_resumed_only_when_asked_for_and_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no study"):
        opened(tmp_path / "s", resume=True)
    opened(tmp_path / "s")
    with pytest.raises(UserError, match="--resume continues it"):
        opened(tmp_path / "s")


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"recipe": {"epochs": 4, "seed": 0}}, r"\(epochs of the recipe\)"), ({"space": {"lr": "0.1 to 0.3"}}, r"\(lr of the space\)"),
     ({"images": {"train": "ab"}}, r"\(images\)"), ({"objectives": ["latency"]}, r"\(objectives\)|damaged|valid")],
)  # fmt: skip
def test_another_search_is_refused_by_what_differs(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    opened(tmp_path / "s")
    with pytest.raises(UserError, match=said) as caught:
        opened(tmp_path / "s", resume=True, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"no journal\n", b"\x00\xff\n", b'{"a": 1}\n', b"[1]\n", b"[" * 10**5 + b"\n"], ids=range(5))
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(UserError, match="not a valid journal"):
        opened(tmp_path / "s", resume=True)
    assert (tmp_path / "s").read_bytes() == content


def test_the_trials_of_the_dead_are_queued_again_once_and_those_of_the_living_are_left(tmp_path: Path) -> None:
    journal = tmp_path / "s"
    one, other = opened(journal), opened(journal, resume=True)
    dead, me, neighbour = f"{platform.node()}-{dead_process_id()}-x", Worker(journal), Worker(journal)
    lost, mine, theirs = ask(one, dead), ask(one, me.name), ask(one, neighbour.name)
    with me.living(), neighbour.living():
        (journal.with_name("s.workers") / dead).touch()  # as SIGKILL leaves it
        assert give_back_lost(one, me) + give_back_lost(other, neighbour) == [lost.number]
        states = {trial.number: trial.state for trial in other.trials}
        assert (states[mine.number], states[theirs.number]) == (TrialState.RUNNING, TrialState.RUNNING)
        again = ask(other, dead)
        assert again.params == lost.params
        assert again.user_attrs[START]
        assert give_back_lost(one, me) == [again.number]
        assert not [trial for trial in one.trials if trial.state == TrialState.WAITING]  # a trial that kills is not tried for ever


def test_a_process_of_another_machine_is_dead_once_it_is_silent(tmp_path: Path) -> None:
    me = Worker(tmp_path / "s")
    with me.living():
        beat = me.folder / "elsewhere-1-x"
        assert not me.lives(beat.name)
        beat.touch()
        assert me.lives(beat.name)
        silent_s = time.time() - 2 * SILENT_FOR_S
        os.utime(beat, (silent_s, silent_s))
        assert not me.lives(beat.name)
        beat.unlink()
    assert not me.folder.exists()
