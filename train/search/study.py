"""The study: one journal file that many processes share, and recovery of trials whose process died.

Optuna's journal lets any number of processes, of one machine or of several with a common file system, append to one file. It
does not record which processes are alive: each touches its own heartbeat file beside the journal every few seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.console import every
from core.errors import UserError, one_line
from core.files import alive, atomic_path, parse_json

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from train.search.space import Space

NAME = "search"
BEAT_EVERY_S = 5.0
SILENT_FOR_S = 60.0  # without a heartbeat, after which a process is considered dead
START = "start"  # attribute of the trial whose recipe the search begins from
MOST_TRIES = 2  # of a trial whose process died: the trial itself may be the cause


def quiet_optuna() -> None:
    """Suppress Optuna's log and its warnings of experimental features."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_study(journal: Path, meaning: dict[str, Any], first: dict[str, Any], *, resume: bool, seed: int | None) -> Study:
    """The study of `journal`: a new one, or with `resume` the existing one.

    meaning: values that must be equal for trials to belong to one search, including `objectives`; first: the parameters of the
    first trial; seed: of the sampler, None for a random one. With one objective, trials worse than the median of the
    others after as many epochs are pruned; with two Optuna prunes none. UserError for a journal that exists
    without `resume`, is missing with it, is damaged, or is of another search.
    """
    import optuna

    from train.search.journal import shared

    _require(journal, resume)
    if not resume:
        _create(journal, meaning, first)
    _cut_torn_line(journal)
    try:
        study = optuna.create_study(
            storage=shared(journal), study_name=NAME, load_if_exists=True, directions=_directions(meaning["objectives"]),
            sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_min_trials=3),
        )  # fmt: skip
        meant = study.user_attrs.get("meaning")
    except (ValueError, KeyError, AssertionError) as error:
        raise _not_valid(journal, error) from error
    _refuse_other(journal, meant, meaning)
    if meant is None:  # of an earlier version, which was stopped before it wrote that
        _begin(study, meaning, first)
    return study


def _create(journal: Path, meaning: dict[str, Any], first: dict[str, Any]) -> None:
    """Make the journal of a new study, which appears when it says what it is of: another process may begin one just now."""
    import optuna

    from train.search.journal import unshared

    try:
        with atomic_path(journal, anew=True) as temporary:
            made = optuna.create_study(storage=unshared(temporary), study_name=NAME, directions=_directions(meaning["objectives"]))
            _begin(made, meaning, first)
    except FileExistsError:
        raise _is_there(journal) from None


def _begin(study: Study, meaning: dict[str, Any], first: dict[str, Any]) -> None:
    study.enqueue_trial(first, user_attrs={START: True})
    study.set_user_attr("meaning", meaning)


def _require(journal: Path, resume: bool) -> None:
    if resume and not journal.is_file():
        raise UserError(f"--resume: there is no study {journal}; leave --resume out to begin one, or pass its --study")
    if journal.exists() and not resume:
        raise _is_there(journal)


def _is_there(journal: Path) -> UserError:
    return UserError(f"{journal} is an existing study; --resume continues it, another --study FILE starts a new one")


def _directions(objectives: list[str]) -> list[str]:
    return ["maximize" if name == "accuracy" else "minimize" for name in objectives]


@contextmanager
def let_go(journal: Path) -> Iterator[None]:
    """After the block, release the lock that Ctrl-C left, if it came between having it and knowing it."""
    from train.search.journal import JournalLock

    try:
        yield
    finally:
        JournalLock(journal).release()


def _cut_torn_line(journal: Path) -> None:
    """Remove an incomplete last line, left by a killed process: the next line would be appended to it, and both be lost.

    UserError if any other line is not valid: Optuna would skip it.
    """
    from train.search.journal import cut_torn_line, journal_lock

    lock = journal_lock(journal)
    lock.acquire()
    try:
        for line in journal.read_bytes().split(b"\n")[:-1]:
            parse_json(line)["op_code"]
        cut_torn_line(journal)
    except (ValueError, KeyError, TypeError) as error:
        raise _not_valid(journal, error) from error
    finally:
        lock.release()


def _not_valid(journal: Path, error: Exception) -> UserError:
    return UserError(f"{journal} is not a valid journal of a search ({one_line(error, 80)}); pass another --study")


def _refuse_other(journal: Path, meant: dict[str, Any] | None, meaning: dict[str, Any]) -> None:
    asked_for = json.loads(json.dumps(meaning))
    if meant is None or meant == asked_for:
        return
    differing = [name for name in asked_for if meant.get(name) != asked_for[name]]
    for name in ("recipe", "space"):  # name the parts that differ
        if name in differing:
            was, now = meant[name], asked_for[name]
            differing.remove(name)
            differing += [f"{part} of the {name}" for part in {**was, **now} if was.get(part) != now.get(part)]
    raise UserError(f"{journal} is of another search ({', '.join(differing)}); pass the same flags, or another --study")


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The space as Optuna's distributions."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return {
        name: CategoricalDistribution(one) if isinstance(one, tuple) else FloatDistribution(one.low, one.high, one.log)
        for name, one in space.items()
    }


class Worker:
    """One process that runs trials, and its heartbeat file."""

    def __init__(self, journal: Path) -> None:
        self.folder = journal.with_name(journal.name + ".workers")
        self.name = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    @contextmanager
    def living(self) -> Iterator[None]:
        """Touch the file every few seconds while the block runs; then remove it, and those that the dead of this machine left."""
        beat = self._first_beat()
        try:
            with every(BEAT_EVERY_S, beat.touch):
                yield
        finally:
            with contextlib.suppress(OSError):  # others are at work, or somebody has removed the folder
                for other in list(self.folder.iterdir()):
                    if other == beat or not _may_live(other.name):
                        other.unlink(missing_ok=True)
                self.folder.rmdir()

    def _first_beat(self) -> Path:
        beat = self.folder / self.name
        while not beat.exists():
            self.folder.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another process, the last, has just removed the folder
                beat.touch()
        return beat

    def lives(self, name: str) -> bool:
        """Whether the process `name` is alive: it touched its file lately, by the file system's clock, and runs if it is local."""
        try:
            age_s = (self.folder / self.name).stat().st_mtime - (self.folder / name).stat().st_mtime
        except OSError:
            return False
        return age_s < SILENT_FOR_S and _may_live(name)

    def others_live(self) -> bool:
        """Whether any other process is at work on the study."""
        return any(self.lives(beat.name) for beat in self.folder.iterdir() if beat.name != self.name)


def _may_live(name: str) -> bool:
    """Whether a process is not known to be dead, which can be known only of this machine's."""
    machine, _, process_id = name.rpartition("-")[0].rpartition("-")
    return machine != platform.node() or not process_id.isdecimal() or alive(int(process_id))


def give_back_lost(study: Study, worker: Worker) -> list[int]:
    """Fail the trials whose process died, and enqueue their parameters again; returns their numbers."""
    from optuna.trial import TrialState

    lost = [trial for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if _is_lost(trial, worker)]
    return [trial.number for trial in lost if give_back(study, trial)]


def give_back(study: Study, trial: FrozenTrial) -> bool:
    """Fail `trial`, and enqueue its parameters again unless it has used its tries; returns whether this process failed it."""
    from optuna.exceptions import OptunaError
    from optuna.trial import TrialState

    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, RuntimeError, OptunaError):  # another process was quicker
        return False
    tries = trial.user_attrs.get("tries", 1)
    tried = {**trial.params, **trial.system_attrs.get("fixed_params", {})}  # it may have ended before all were drawn
    if tries < MOST_TRIES and tried:
        attributes = {"tries": tries + 1, START: trial.user_attrs.get(START, False)}
        study.enqueue_trial(tried, user_attrs=attributes)
    return True


def _is_lost(trial: FrozenTrial, worker: Worker) -> bool:
    name = trial.user_attrs.get("worker")
    if name is not None:
        return not worker.lives(name)
    began = trial.datetime_start  # its process died before it said its name, or is about to say it
    silent = began is not None and (datetime.now() - began).total_seconds() > SILENT_FOR_S
    return silent or not worker.others_live()
