"""The files that a training writes: weights with their card, and the run folder; the same for both frameworks."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.console import in_one_line, print_note
from core.environment import environment, package_versions
from core.errors import UserError
from core.figures import confusion_heatmap
from core.files import alone_in, atomic_path, final_run_folder, require_writable, sync, write_json
from core.records import Float32Array
from data import Dataset
from data.sets import NAMED
from models.card import ModelCard, Preprocessing, card_path, write_card
from models.native import onnx_path
from models.provenance import same_training
from train.curves import Epoch, plot_history, write_history
from train.files.checkpoint import GO_ON, Reader
from train.files.names import first_free
from train.files.others import of_another_training
from train.images import TrainingData, confusion_of
from train.recipes import AnyRecipe
from train.watch import Watch


@dataclass(frozen=True)
class Outcome:
    """Where a training left its files, and how good it was.

    weights: the file that `python -m export.to_onnx` takes; card: the model card beside it; run: the folder of the run;
    validation_accuracy: a fraction, at `best_epoch` (from 1); history: every finished epoch;
    stopped: why it ended early, None if it did not.
    """

    weights: Path
    card: ModelCard
    run: Path
    validation_accuracy: float
    n_validation: int
    best_epoch: int
    history: tuple[Epoch, ...] = ()
    stopped: str | None = None
    image_folder: str | None = None  # --data if that was a path, which the export needs too
    replaces_export: bool = False  # the export's target exists, made from weights that this training replaced

    @property
    def figures(self) -> dict[str, float]:
        """The card's figures: validation_accuracy (a fraction), validation_nll (nats), epochs_run, train_elapsed_s."""
        return self.card.figures

    def report(self) -> str:
        """The paths, the validation accuracy and the next command, one line each."""
        return (
            f"weights     {in_one_line(str(self.weights))}\n"
            f"card        {in_one_line(str(card_path(self.weights)))}\n"
            f"run         {in_one_line(str(self.run))}\n"
            f"validation  {self.validation_accuracy:.2%} of {self.n_validation:,} images right, epoch {self.best_epoch}\n"
            f"next        {in_one_line(self._next())}"
        )

    def _next(self) -> str:
        """The command that exports the weights."""
        command = f"python -m export.to_onnx {shlex.quote(str(self.weights))}"
        if self.image_folder is not None:
            command += f" --data {shlex.quote(self.image_folder)}"
        if self.replaces_export:
            command += " --force"
        return command

    def raise_if_stopped(self) -> Outcome:
        """Returns itself if the training ran to its end; else raises the reason, with the path of the best weights."""
        if self.stopped is None:
            return self
        which = "the best weights" if self.stopped == AT_THE_END else "the best weights so far"
        message = (
            f"{self.stopped}; {which} (epoch {self.best_epoch}, {self.validation_accuracy:.2%} of validation) "
            f"are in {self.weights}, the run in {self.run}"
        )
        if self.stopped == INTERRUPTED:
            raise KeyboardInterrupt(f"{message}; {GO_ON}")
        if self.stopped == AT_THE_END:
            raise KeyboardInterrupt(f"{message}; next: {self._next()}")
        raise DivergedError(f"{message}; pass a lower --lr, and --force to replace them or --name to keep them")


INTERRUPTED = "interrupted"
AT_THE_END = "interrupted after the last epoch"
UNSAVED = "interrupted again, before the weights were saved"


class DivergedError(UserError):
    """A training whose loss was no longer finite: other hyperparameters may succeed."""


def nothing_to_keep(stopped: str) -> KeyboardInterrupt | UserError:
    """The exception for a training that stopped before its first epoch finished."""
    message = f"{stopped}, before the first epoch finished; no weights were saved"
    return KeyboardInterrupt(message) if stopped == INTERRUPTED else DivergedError(f"{message}; pass a lower --lr")


def check_writable(models_dir: Path) -> None:
    """UserError if `models_dir` cannot be written to; called before training, not after."""
    require_writable(models_dir, "--models-dir")


def _still_free(weights: Path, recipe: AnyRecipe, dataset: Dataset, read: Reader) -> Path:
    """`weights`; if another training has written that file meanwhile, the first free numbered name."""
    # The recipe may have said "auto", while the card states the precision that was used.
    asked_for = dataclasses.replace(recipe, precision="auto")
    if recipe.force or of_another_training(weights, asked_for, dataset) is None:
        return weights
    free = first_free(weights, asked_for, dataset, read)
    print_note(f"note: another training has meanwhile written {weights}; these weights go to {free}")
    return free


def _is_of_another_training(onnx: Path, card: ModelCard) -> bool:
    """Whether the file `onnx` exists and the export of these weights would need --force to replace it."""
    if not onnx.exists():
        return False
    from models.graph.contract import load_model

    try:
        return not same_training(load_model(onnx)[1], card)
    except UserError:
        return True


@dataclass(frozen=True)
class Trained:
    """The result of a training, to be written; `validation_logits` are those of the best weights."""

    recipe: AnyRecipe
    images: TrainingData
    watch: Watch
    validation_logits: Float32Array
    backend: str
    architecture: str
    preprocessing: Preprocessing
    device: str
    stopped: str | None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


def write_outcome(
    trained: Trained, claimed: Path, folder: Path, save: Callable[[Path], None], read: Reader, hold: Callable[[], object]
) -> Outcome:
    """Write the weights (by `save`) as `claimed`, their card, and the files of the run folder; returns their paths.

    read: of the framework's checkpoints; hold: called before the first file that stays is written, so that signals wait.
    """
    best, recipe = trained.watch.best, trained.recipe
    if best is None:
        raise ValueError("no epoch was whole, so there is nothing to write")
    dataset = trained.images.dataset
    recipe.models_dir.mkdir(parents=True, exist_ok=True)
    with alone_in(recipe.models_dir):  # else two trainings that end at once may both find a name free
        weights = _still_free(claimed, recipe, dataset, read)
        card = _card(trained, weights.stem)
        _write_run(trained, card, folder, weights)
        replaces_export = _is_of_another_training(onnx_path(weights, weights.parent), card)
        hold()
        _write_weights(weights, card, save)
    run = final_run_folder(folder)
    n_validation = len(trained.images.validation)
    folder_named = recipe.data if recipe.data not in NAMED else None
    return Outcome(
        weights, card, run, best.validation_accuracy, n_validation, best.epoch, tuple(trained.watch.history), trained.stopped,
        folder_named, replaces_export,
    )  # fmt: skip


def _write_weights(weights: Path, card: ModelCard, save: Callable[[Path], None]) -> None:
    """Write weights and card; whenever this process is killed, neither lies beside the other's predecessor.

    The card is there first, for weights without one would block --resume.
    """
    with atomic_path(weights) as temporary:
        save(temporary)
        sync(temporary)  # so that it takes no time between the old weights and the new ones
        write_card(card, weights, first=lambda: weights.unlink(missing_ok=True))


def _card(trained: Trained, name: str) -> ModelCard:
    recipe, train, watch = trained.recipe, trained.images.train, trained.watch
    return ModelCard(
        name=name,
        backend=trained.backend,
        architecture=trained.architecture,
        class_names=train.class_names,
        dataset=trained.images.dataset.name,
        dataset_sha256=trained.images.dataset.fingerprints(),
        image_height=train.image_height,
        image_width=train.image_width,
        resize=recipe.resize,
        split_seed=recipe.split_seed,
        seed=recipe.seed,
        preprocessing=trained.preprocessing,
        recipe=recipe.hyperparameters(),
        library_versions=package_versions(),
        figures=_figures(watch),
    )


def _figures(watch: Watch) -> dict[str, float]:
    if watch.best is None:
        return {}
    return {
        "validation_accuracy": watch.best.validation_accuracy,
        "validation_nll": watch.best.validation_loss,
        "epochs_run": len(watch.history),
        "train_elapsed_s": watch.history[-1].elapsed_s,
    }


def _write_run(trained: Trained, card: ModelCard, folder: Path, weights: Path) -> None:
    watch, images = trained.watch, trained.images
    best_epoch = watch.best.epoch if watch.best else 0
    record = {
        "what": f"train {trained.backend}",
        "weights": str(weights),
        "stopped": trained.stopped,
        "best_epoch": best_epoch,
        "figures": card.figures,
        "recipe": trained.recipe.as_dict(),
        "seed": trained.recipe.seed,
        "split_seed": trained.recipe.split_seed,
        "dataset": card.dataset,
        "dataset_sha256": card.dataset_sha256,
        "n_train": len(images.train),
        "n_validation": len(images.validation),
        "device": trained.device,
        **trained.extra,
        "environment": environment(),
    }
    write_json(folder / "run.json", record)
    write_history(folder / "history.csv", watch.history)
    plot_history(folder, watch.history, best_epoch)
    predicted = trained.validation_logits.argmax(axis=1)
    confusion = confusion_of(images.validation.labels, predicted, images.validation.n_classes)
    confusion_heatmap(folder / "confusion.png", confusion, card.class_names, f"{card.name}, validation")
