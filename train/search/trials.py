"""The search itself: ask Optuna for hyperparameters, train, report the result, until trials or time are used up."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.console import print_note
from core.environment import cpu_name
from core.errors import UserError, one_line
from core.files import final_run_folder, of_full_disk, run_folder
from core.signals import told_how_to_go_on
from train.curves import Epoch
from train.files.checkpoint import GO_ON
from train.images import TrainingData, training_data
from train.loop import Framework, run_training
from train.outcome import DivergedError, Outcome
from train.recipes import AnyRecipe
from train.search.latency import p50_ms
from train.search.report import Found, accuracy_of, done_trials, packed_right, write_search
from train.search.space import Range, Space, recipe_of, space_of, start_of
from train.search.study import START, Worker, distributions, give_back, give_back_lost, let_go, open_study, quiet_optuna

if TYPE_CHECKING:
    from optuna import Study, Trial

OBJECTIVES = ("accuracy", "latency")
FAILED_AT_FIRST = 3  # if so many trials fail and none succeeds, hyperparameters are not the cause


@dataclass(frozen=True)
class Plan:
    """The options of a search.

    base: the recipe from which the search begins; held: its fields that keep their values; ranges: override the table's;
    trials: of the study, all processes and earlier runs together; time_budget_s: of this process;
    journal: the study's file, None for the default one in the recipe's results folder.
    """

    base: AnyRecipe
    trials: int = 40
    time_budget_s: float = 3600.0
    objectives: tuple[str, ...] = ("accuracy",)
    held: tuple[str, ...] = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    journal: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        """UserError for invalid objectives, trials or time budget."""
        if self.objectives not in (("accuracy",), OBJECTIVES):
            raise UserError(f"--objective must be accuracy or accuracy,latency, not {','.join(self.objectives)}")
        if self.trials < 1 or self.time_budget_s <= 0:
            raise UserError("a search needs --trials of at least 1 and a --time-budget above 0 s")

    @property
    def space(self) -> Space:
        """The range of every field that is searched."""
        return space_of(self.base, self.held, self.ranges)


class OutOfTimeError(Exception):
    """The budget was used up in the middle of a trial."""


def run_search(plan: Plan, framework: Framework) -> Found:
    """Search by `plan`, in this process; returns the result, which is written into a run folder.

    Every trial trains on the same training images and is judged on the same validation images; test images are not used.
    The first trial is the base recipe. Raises UserError for invalid input and, after writing the best recipe so far,
    KeyboardInterrupt when interrupted; the interrupted trial is repeated on --resume.
    """
    quiet_optuna()
    space = plan.space
    start = start_of(dataclasses.replace(plan.base, resume=False, name=None, force=False), space)
    sizes = space.get("image_size")
    largest = max(sizes) if isinstance(sizes, tuple) else start.image_size
    images = training_data(dataclasses.replace(start, image_size=largest))  # in no lower resolution than any trial sees
    what = f"search-{framework.run.removeprefix('train-')}"
    journal = plan.journal or start.results_dir / f"{what}-{images.dataset.name}.journal"
    meaning: dict[str, Any] = {
        "recipe": {**start.hyperparameters(), "data": images.dataset.name},
        "space": {name: str(values) for name, values in space.items()},
        "objectives": list(plan.objectives),
        "images": images.dataset.fingerprints(),
        **({"processor": cpu_name()} if "latency" in plan.objectives else {}),
    }
    first = {name: getattr(start, name) for name in space}
    again = partial(open_study, journal, meaning, first, resume=True, seed=None)

    def how_to_go_on() -> str:
        return GO_ON if journal.exists() else ""

    with told_how_to_go_on(how_to_go_on), let_go(journal), run_folder(what, start.results_dir) as folder:
        study = again() if plan.resume else open_study(journal, meaning, first, resume=False, seed=start.seed)
        search = _Search(plan, framework, start, space, images, study, Worker(journal), again)
        stopped = search.run()
        run = final_run_folder(folder)
        found = write_search(folder, run, search.study, start, space, journal, stopped)
        if found is None:
            raise _nothing_found(search.study, stopped)
    if stopped:
        raise KeyboardInterrupt(f"interrupted; the best recipe so far is {found.recipe_file}; {GO_ON}")
    return found


def _nothing_found(study: Study, stopped: bool) -> BaseException:
    if stopped:
        return KeyboardInterrupt(f"interrupted, before the first trial finished; {GO_ON}")
    reasons = [trial.user_attrs["error"] for trial in study.trials if "error" in trial.user_attrs]
    last = f"; the last error: {reasons[-1]}" if reasons else ""
    return UserError(f"no trial finished{last}; pass a longer --time-budget, or fewer --epochs, with --resume")


@dataclass
class _Search:
    """One process of a search; reopened: its study, read anew from the journal."""

    plan: Plan
    framework: Framework
    start: AnyRecipe
    space: Space
    images: TrainingData
    study: Study
    worker: Worker
    reopened: Callable[[], Study]

    def run(self) -> bool:
        """Run trials until there are enough or the time is up; returns whether Ctrl-C ended them."""
        self.ends_s = time.monotonic() + self.plan.time_budget_s
        with self.worker.living():
            try:
                while self._goes_on():
                    trial = self.study.ask(distributions(self.space))
                    trial.set_user_attr("worker", self.worker.name)
                    try:
                        self._try(trial)
                    finally:
                        self.framework.release()
            except KeyboardInterrupt:
                self._give_back()
                return True
            except OutOfTimeError:
                self._give_back()
                self._say("time is up: the trial under way was stopped (--resume does it again)")
        return False

    def _give_back(self) -> None:
        """Leave the trial under way to whoever goes on; Ctrl-C may have come while Optuna read or wrote, so the journal tells."""
        self.study = self.reopened()
        running = self.study.get_trials(deepcopy=False, states=(_running(),))
        for trial in running:
            if trial.user_attrs.get("worker") == self.worker.name:
                give_back(self.study, trial)

    def _goes_on(self) -> bool:
        for number in give_back_lost(self.study, self.worker):
            self._say(f"trial {number} was lost with its process, and is done again")
        return self._n_counted() < self.plan.trials and (time.monotonic() < self.ends_s or not done_trials(self.study))

    def _n_counted(self) -> int:
        """Number of trials that ran or are running, without those that will be repeated."""
        counted = ("COMPLETE", "PRUNED", "RUNNING")
        return sum(trial.state.name in counted or "error" in trial.user_attrs for trial in self.study.get_trials(deepcopy=False))

    def _try(self, trial: Trial) -> None:
        """Train once, and report the result to the study."""
        from optuna.exceptions import TrialPruned
        from optuna.trial import TrialState

        began_s = time.monotonic()
        values = None
        shown = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in trial.params.items()}
        self._say(f"trial {trial.number}: {', '.join(f'{name} {value}' for name, value in shown.items())}")
        try:
            values, state = self._values(trial), TrialState.COMPLETE
        except TrialPruned:
            state = TrialState.PRUNED
        except DivergedError as error:
            state = self._diverged(trial, error)
        except OutOfTimeError:
            raise
        except Exception as error:  # too little memory, a network that cannot be exported: the next trial may do better
            if of_full_disk(error):  # no trial would: whoever goes on does this one again
                raise
            state = TrialState.FAIL
            self._failed(trial, error)
        trial.set_user_attr("elapsed_s", time.monotonic() - began_s)
        self.study.tell(trial, values, state=state)
        self._say(self._line(trial, values, state.name))

    def _values(self, trial: Trial) -> list[float]:
        """The objectives of a trial; stores further results as its attributes."""
        kept: dict[str, Any] = {}
        is_start, prunes = bool(trial.user_attrs.get(START)), len(self.plan.objectives) == 1

        def heard(row: Epoch, right: NDArray[np.bool_]) -> None:
            from optuna.exceptions import TrialPruned

            if row.validation_accuracy > kept.get("accuracy", -1):
                kept.update(accuracy=row.validation_accuracy, right=right, epoch=row.epoch)
            if prunes:
                trial.report(row.validation_accuracy, row.epoch)
                if not is_start and trial.should_prune():  # all others are compared with the first: it is never pruned
                    raise TrialPruned
            if row.epoch < self.start.epochs and time.monotonic() > self.ends_s and done_trials(self.study):
                raise OutOfTimeError

        with tempfile.TemporaryDirectory(prefix="trial-") as scratch:
            folder = Path(scratch)
            recipe = dataclasses.replace(recipe_of(self.start, trial.params), models_dir=folder / "models", results_dir=folder)
            outcome = run_training(recipe, self.framework, images=self.images, heard=heard)
            trial.set_user_attr("right", packed_right(kept["right"]))
            trial.set_user_attr("best_epoch", kept["epoch"])
            values = [outcome.validation_accuracy]
            return values if prunes else [*values, self._p50_ms(recipe, outcome)]

    def _p50_ms(self, recipe: AnyRecipe, outcome: Outcome) -> float:
        """The p50 in ms, measured once per architecture and image size: it does not depend on the weights."""
        key = f"p50_ms of {recipe.arch} at {recipe.image_size} px"
        held = self.study.user_attrs.get(key)
        if held is None:
            held = p50_ms(outcome.weights, self.images.validation)
            self.study.set_user_attr(key, held)
        return float(held)

    def _diverged(self, trial: Trial, error: UserError) -> Any:
        """The trial's state: pruned at accuracy 0, from which the sampler learns; with two objectives it can only fail."""
        from optuna.trial import TrialState

        trial.set_user_attr("error", one_line(error, 160))
        if len(self.plan.objectives) > 1:
            return TrialState.FAIL
        trial.report(0.0, self.start.epochs + 1)
        return TrialState.PRUNED

    def _failed(self, trial: Trial, error: Exception) -> None:
        """Store the error; raise it if the first trial or all of the first three failed: hyperparameters are not the cause."""
        trial.set_user_attr("error", one_line(error, 160))
        tried = [past for past in self.study.get_trials(deepcopy=False) if past.state.is_finished()]
        if trial.user_attrs.get(START) or (not done_trials(self.study) and len(tried) + 1 >= FAILED_AT_FIRST):
            give_back(self.study, _frozen(self.study, trial))
            raise error

    def _line(self, trial: Trial, values: list[float] | None, state: str) -> str:
        done = done_trials(self.study)
        best = max(done, key=accuracy_of, default=None)
        facts = [f"{values[0]:.2%} of validation"] if values else [{"PRUNED": "stopped early", "FAIL": "failed"}[state]]
        facts += [f"p50 {values[1]:.2f} ms"] if values and len(values) > 1 else []
        error = _frozen(self.study, trial).user_attrs.get("error")
        facts += [error] if error else []
        if best is not None:
            facts.append(f"best {accuracy_of(best):.2%} (trial {best.number})")
        left_s = max(0.0, self.ends_s - time.monotonic())
        return f"trial {trial.number}: {', '.join(facts)}; {self._n_counted()} of {self.plan.trials} trials, {left_s:.0f} s left"

    def _say(self, line: str) -> None:
        print_note(line)


def _running() -> Any:
    from optuna.trial import TrialState

    return TrialState.RUNNING


def _frozen(study: Study, trial: Trial) -> Any:
    return study.get_trials(deepcopy=False)[trial.number]
