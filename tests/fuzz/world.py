"""What every hostile input is made from, whole and small: models, images, a stored run; and what one input is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import onnx
from PIL import Image

from data import open_dataset
from tests.tiny_models import write_tiny_model

CLASSES = ("ant", "bee", "cat")


@dataclass(frozen=True)
class Case:
    """One input. make: writes it into an empty folder, given a random generator and the world, and returns the arguments.

    kind: by which faults are counted; command: a module, as behind `python -m`; must_fail: whether status 0 is a fault.
    """

    kind: str
    name: str
    command: str
    make: Callable[[Path, Random, World], list[str]]
    must_fail: bool = True


@dataclass(frozen=True)
class World:
    """Whole files, which a case copies before it damages them."""

    root: Path

    @property
    def model(self) -> Path:
        return self.root / "models" / "a.onnx"

    @property
    def other_model(self) -> Path:
        return self.root / "models" / "b.onnx"

    @property
    def foreign(self) -> Path:
        """A network without a card."""
        return self.root / "models" / "foreign.onnx"

    @property
    def photos(self) -> Path:
        return self.root / "photos"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def secret(self) -> Path:
        """A file outside of every folder that a command is given, which nothing may open."""
        return self.root / "outside" / "secret.bin"


def write_world(root: Path) -> World:
    """The whole files, made new in `root`."""
    from tests.benchmark.report.test_compare import write_run

    world, random = World(root), np.random.default_rng(0)
    for split, n_images in (("train", 6), ("test", 4)):
        for label, name in enumerate(CLASSES):
            folder = world.photos / split / name
            folder.mkdir(parents=True)
            for number in range(n_images):
                pixels = random.integers(60 * label, 60 * label + 60, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    dataset = open_dataset(str(world.photos))
    common = {"class_names": CLASSES, "dataset": "photos", "dataset_sha256": dataset.fingerprints()}
    for seed, path in enumerate((world.model, world.other_model)):
        path.parent.mkdir(exist_ok=True)
        write_tiny_model(path, seed=seed, **common)  # type: ignore[arg-type]
    model = onnx.load(world.model)
    del model.metadata_props[:]
    world.foreign.write_bytes(model.SerializeToString())
    write_run(world.run, {"m": 0.8, "n": 0.6}, n_processes=8)
    world.secret.parent.mkdir()
    world.secret.write_bytes(bytes(100_000))
    return world


def benchmark(model: Path, world: World, *further: str) -> list[str]:
    """Arguments with which a model is benchmarked on the whole images, without latency."""
    return ["--models", str(model), "--data", str(world.photos), "--time-budget", "0", "--no-report", *further]


def copied(source: Path, folder: Path) -> Path:
    """A copy of a whole file or folder, of the same name."""
    target = folder / source.name
    return Path(shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target))


def damaged(data: bytes, random: Random) -> bytes:
    """Bytes cut short, with bits flipped, with a stretch put elsewhere, or with a stretch of noise."""
    changed, place = bytearray(data), random.randrange(len(data))
    how = random.choice(("cut", "flip", "flip", "splice", "noise"))
    if how == "cut":
        return bytes(changed[:place])
    if how == "flip":
        for _ in range(random.choice((1, 2, 8, 64))):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    elif how == "splice":
        other = random.randrange(len(changed))
        changed[place : place + 40] = changed[other : other + 40]
    else:
        changed[place : place + 20] = random.randbytes(20)
    return bytes(changed)
