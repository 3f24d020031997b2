"""The files that a search writes: recipes, a table of trials, Optuna's plots, and a verdict on the best trial."""

from __future__ import annotations

import base64
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.console import in_one_line
from core.decimals import cell, counted, p_words, signed
from core.environment import environment
from core.figures import DPI
from core.files import atomic_path, write_csv, write_json
from core.statistics import difference_ci95, mcnemar_p, paired_counts
from train.recipe_choice import recipe_record
from train.recipes import AnyRecipe
from train.search.space import Space, recipe_of
from train.search.study import START

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from pandas import DataFrame

ALPHA = 0.05
ACCURACY = "validation accuracy, fraction of images"
MOST_SLICES = 6  # panels side by side that remain legible
MOST_NAMED_TRIALS = 12  # in a legend
BEST = "best_recipe.json"
COLUMNS = ["trial", "state", "validation_accuracy", "p50_ms", "on_pareto_front", "best_epoch", "elapsed_s", "error"]


@dataclass(frozen=True)
class Found:
    """What a search found.

    recipe: of the best trial, by validation accuracy (a fraction), which is a little too high, being the best of many;
    recipe_file: the file that `--recipe` takes; verdict: how it compares with the recipe that the search began from;
    run: the folder with trials.csv and plots; journal: the study; n_trials: finished trials, including pruned ones.
    """

    recipe: AnyRecipe
    recipe_file: Path
    validation_accuracy: float
    verdict: str
    run: Path
    journal: Path
    n_trials: int

    @property
    def trials(self) -> DataFrame:
        """One row per trial, as trials.csv has it."""
        import pandas as pd

        return pd.read_csv(self.run / "trials.csv")

    def report(self, command: str) -> str:
        """The paths, the verdict and the next command, one line each; command: the trainer's."""
        return (
            f"recipe      {in_one_line(str(self.recipe_file))}\n"
            f"trials      {in_one_line(str(self.run / 'trials.csv'))}\n"
            f"study       {in_one_line(str(self.journal))}\n"
            f"validation  {self.validation_accuracy:.2%}: {self.verdict}\n"
            f"next        python -m {command} --recipe {in_one_line(shlex.quote(str(self.recipe_file)))}"
        )


def done_trials(study: Study) -> list[FrozenTrial]:
    """The trials that finished training."""
    from optuna.trial import TrialState

    done: list[FrozenTrial] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return done


def accuracy_of(trial: FrozenTrial) -> float:
    """Validation accuracy of a complete trial, a fraction."""
    return float(trial.values[0])


def right_of(trial: FrozenTrial) -> NDArray[np.bool_]:
    """Which validation images a complete trial classified correctly, bool (n_images,)."""
    n_images, _, packed = trial.user_attrs["right"].partition(":")
    return np.unpackbits(np.frombuffer(base64.b64decode(packed), np.uint8), count=int(n_images)).astype(bool)


def packed_right(right: NDArray[np.bool_]) -> str:
    """`right`, bool (n_images,), as the text that `right_of` reads: one bit per image, in base64."""
    return f"{len(right)}:{base64.b64encode(np.packbits(right).tobytes()).decode()}"


def write_search(
    folder: Path, run: Path, study: Study, start: AnyRecipe, space: Space, journal: Path, interrupted: bool
) -> Found | None:
    """Write everything into `folder`, which will be renamed `run`; if no trial is complete, write nothing and return None."""
    done = done_trials(study)
    if not done:
        return None
    best = max(done, key=accuracy_of)  # of equal ones the earliest
    front = [trial.number for trial in study.best_trials] if len(study.directions) > 1 else [best.number]
    by_number = {trial.number: trial for trial in done}
    for name, number in {BEST: best.number, **{f"recipe_trial_{number}.json": number for number in front}}.items():
        trial = by_number[number]
        facts = dict(zip(("validation_accuracy", "p50_ms"), trial.values, strict=False))
        write_json(folder / name, recipe_record(recipe_of(start, trial.params), {"trial": number, **facts}))
    trials = study.get_trials(deepcopy=False)
    rows = ([*_facts(trial, front), *(_text(trial.params.get(name)) for name in space)] for trial in trials)
    write_csv(folder / "trials.csv", [*COLUMNS, *space], rows)
    verdict = verdict_of(done, best)
    finished = sum(trial.state.is_finished() for trial in trials)
    found = Found(recipe_of(start, best.params), run / BEST, accuracy_of(best), verdict, run, journal, finished)
    record = {
        "what": "search", "journal": str(journal), "interrupted": interrupted, "verdict": verdict, "best_trial": best.number,
        "pareto_front": front, "recipe": start.as_dict(), "space": {name: str(values) for name, values in space.items()},
        "environment": environment(["optuna"]),
    }  # fmt: skip
    write_json(folder / "run.json", record)
    draw(folder, study)
    return found


def verdict_of(done: list[FrozenTrial], best: FrozenTrial) -> str:
    """How `best` compares with the recipe that the search began from, by an exact McNemar test on the validation images.

    The best trial was chosen on the same images that it is compared on, so p is multiplied by the number of trials that could
    have been chosen (Bonferroni), which is valid whichever was.
    """
    start = next((trial for trial in done if trial.user_attrs.get(START)), None)
    if start is None:
        return "the recipe it began from is not among the complete trials, so there is no comparison"
    if start.number == best.number:
        return "no trial was better than the recipe it began from"
    counts = paired_counts(right_of(best), right_of(start))
    n_images = counts.n_images
    p = min(1.0, (len(done) - 1) * mcnemar_p(counts))
    low, high = difference_ci95(counts)
    points = signed(100 * (accuracy_of(best) - accuracy_of(start)), 2)
    judged = "significantly more accurate than" if p < ALPHA else "within noise of"
    return (
        f"{judged} the recipe it began from ({accuracy_of(start):.2%}): {points} points, 95 % interval {signed(100 * low, 2)} to "
        f"{signed(100 * high, 2)}, {p_words(p)} on {counted(n_images, 'image')}, corrected for the choice of one of "
        f"{counted(len(done) - 1, 'trial')}"
    )


def _facts(trial: FrozenTrial, front: list[int]) -> list[str]:
    values = [*(trial.values or ()), None, None]
    attributes = trial.user_attrs
    return [
        str(trial.number), trial.state.name.lower(), _text(values[0]), _text(values[1]), str(trial.number in front),
        _text(attributes.get("best_epoch")), _text(attributes.get("elapsed_s")), attributes.get("error", ""),
    ]  # fmt: skip


def _text(value: Any) -> str:
    return "" if value is None else cell(value) if isinstance(value, float) else str(value)


def draw(folder: Path, study: Study) -> None:
    """Draw Optuna's plots, with our titles and units, into `folder`."""
    import warnings

    import matplotlib as mpl

    mpl.use("Agg")
    import optuna.visualization.matplotlib as pictures
    from matplotlib.ticker import MaxNLocator
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    target: dict[str, Any] = {"target_name": ACCURACY}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these functions warn that they are experimental
        if len(study.directions) > 1:
            target["target"] = accuracy_of
            axes = pictures.plot_pareto_front(study, target_names=[ACCURACY, "p50 at batch 1, ms"])
            _save(folder / "pareto.png", axes, "accuracy and p50 of the trials")
        else:
            axes = pictures.plot_intermediate_values(study)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            _save(folder / "epochs.png", axes, "validation accuracy by epoch", xlabel="epoch", ylabel=ACCURACY)
        axes = pictures.plot_optimization_history(study, **target)
        _save(folder / "history.png", axes, "validation accuracy of the trials", xlabel="trial", ylabel=ACCURACY)
        if len({accuracy_of(trial) for trial in done_trials(study)}) > 1:  # equal accuracies have no variance to explain
            evaluator = FanovaImportanceEvaluator(seed=0)
            axes = pictures.plot_param_importances(study, evaluator=evaluator, **target)
            share = "share of the variance of validation accuracy (fANOVA)"
            _save(folder / "importances.png", axes, "which hyperparameters matter", xlabel=share, ylabel="hyperparameter")
            important = list(get_param_importances(study, evaluator=evaluator, target=accuracy_of))[:MOST_SLICES]
            axes = pictures.plot_slice(study, params=important, **target)
            _save(folder / "slices.png", axes, "validation accuracy by the hyperparameters that matter most")


def _save(path: Path, axes: Any, title: str, **labels: str) -> None:
    """Write the figure of `axes`, with one title; `labels` are set on the first of them."""
    from matplotlib import pyplot as plt

    drawn = np.ravel(axes)
    figure = drawn[0].figure
    drawn[0].set(**labels)
    if len(drawn) > 1:
        figure.autofmt_xdate(rotation=60)  # names of values are long, and panels narrow
    for one in drawn:
        one.set_title("")
        one.set_title("", loc="left")
        legend = one.get_legend()
        if legend is not None and len(legend.get_texts()) > MOST_NAMED_TRIALS:
            legend.remove()
    figure.set_size_inches(max(8.0, 2.2 * len(drawn)), 4.5)
    figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
