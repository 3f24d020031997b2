"""The commands that are stopped, what each is given, and what it needs in the world beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.exporting import write_weights
from tests.fuzz.world import CLASSES, World, benchmark


@dataclass(frozen=True)
class Command:
    """A command and its arguments.

    ends: whether it does by itself; preloaded: modules that it imports, which are slow; needed: a package without which it cannot
    be; prepared: makes in the world, once, what the command takes; earlier: flags of the run before the one that is stopped;
    then: a command that uses what this one leaves; file_bytes: sizes of a file at which its disk is full; repeatable: whether a run
    that goes on after a fault makes what an undisturbed one makes.
    """

    module: str
    arguments: Callable[[World], list[str]]
    ends: bool = True
    preloaded: tuple[str, ...] = ()
    needed: str = "onnxruntime"
    prepared: Callable[[World], object] = lambda _: None
    earlier: tuple[str, ...] = ()
    then: Command | None = None
    file_bytes: tuple[int, ...] = (0, 100, 1000, 4000, 20_000)
    repeatable: bool = True


def _pair(world: World) -> list[str]:
    return [str(world.model), str(world.other_model), "--data", str(world.photos)]


def _many(world: World) -> Path:
    return world.root / "many"


def _weights(world: World) -> Path:
    return world.root / "weights" / "tiny.pth"


def write_many(world: World) -> None:
    """As many images as two shards need: more than one batch."""
    from PIL import Image

    from models.runtimes.predict import PREDICTION_BATCH

    for label, name in enumerate(CLASSES):
        folder = _many(world) / "test" / name
        if folder.is_dir():
            return
        folder.mkdir(parents=True)
        for number in range(PREDICTION_BATCH // 2):
            Image.new("RGB", (8, 8), (60 * label + number % 60, 50, 100)).save(folder / f"{number}.png")


def write_shards(world: World) -> None:
    """Predictions in two shards, for the merge."""
    from benchmark.shards.plan import Asked
    from benchmark.shards.predict import predict_shard

    write_many(world)
    asked = Asked((str(world.model),), str(_many(world)), str(world.root / "shards"), n_shards=2, threads=1, decoders=1)
    for shard in range(2):
        predict_shard(asked, shard)


def _merge(folder: Callable[[World], str]) -> Command:
    return Command("benchmark", lambda world: ["merge", folder(world), "--no-report"], prepared=write_shards)


def _training(by: str, needed: str, *preloaded: str) -> Command:
    return Command(
        "tests.faults.training",
        lambda _: [by],
        preloaded=(*preloaded, "tests.train.trainer_laws", "train.loop"),
        needed=needed,
        file_bytes=(0, 4000, 20_000, 200_000, 1_000_000),
    )


COMMANDS = {
    "train": _training("numpy", "tyro", "tests.train.linear"),
    "train torch": _training("torch", "torch", "train.torch.trainer"),
    "train keras": _training("keras", "tensorflow", "train.tf.trainer"),
    "search": Command(
        "tests.faults.searching",
        lambda _: [],
        preloaded=(
            "tests.train.linear",
            "tests.train.trainer_laws",
            "train.loop",
            "train.search.trials",
            "sklearn.datasets",
            "optuna.storages.journal",
        ),
        needed="optuna",
        earlier=("--trials", "3"),
        repeatable=False,
    ),
    "ensemble": Command("ensemble", lambda world: [*_pair(world), "--out", "made/fused.onnx"]),
    "quantize": Command("export.quantize", lambda world: [*_pair(world), "--to", "int8", "--out", "made"]),
    "adopt": Command(
        "export.adopt",
        lambda world: [
            *(str(world.foreign), "--data", str(world.photos), "--out", "made/adopted.onnx", "--output", "logits", "--class-names"),
            *("data", "--image-size", "8", "--mean", "0", "--std", "1"),
        ],
    ),
    "benchmark": Command("benchmark", lambda world: benchmark(world.model, world)),
    "latency": Command(
        "benchmark",
        lambda world: [
            *("--models", str(world.model), "--data", str(world.photos), "--no-report"),
            *("--time-budget", "2", "--batch-sizes", "1"),
        ],
    ),
    "predict": Command(
        "benchmark",
        lambda world: [
            *("predict", str(world.model), "--data", str(_many(world)), "--out", "results/shards"),
            *("--shards", "2", "--jobs", "2", "--threads", "1", "--decoders", "1"),
        ],
        prepared=write_many,
        then=_merge(lambda _: "results/shards"),
    ),
    "merge": _merge(lambda world: str(world.root / "shards")),
    "export": Command(
        "tests.faults.exporting",
        lambda world: [str(_weights(world)), "--out", "made", "--force"],
        prepared=lambda world: write_weights(_weights(world)),
    ),
    "serve": Command(
        "serve",
        lambda world: [str(world.model), "--port", "0", "--threads", "1"],
        ends=False,
        preloaded=("serve.web.server",),
        needed="uvicorn",
    ),
}
