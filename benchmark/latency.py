"""Latency as an experiment: every configuration in fresh processes, in rounds, in random order within each round."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmark.children import ask_child
from benchmark.latency_schedule import FEWEST_ROUNDS, Place, Schedule
from benchmark.sessions import CUDA, Provider
from core.records import LatencySamples, UInt8Array

Transfer = Literal["host-to-host", "device-only"]

DEFAULT_BUDGET_S = 60.0
FEWEST_IMAGES = 64  # where time depends on the image, one image tells nothing
SAMPLE_S = 0.25  # timed calls of one process: more processes tell more than more calls


@dataclass(frozen=True)
class Configuration:
    """One thing whose latency is asked for."""

    model: str
    path: Path
    provider: Provider
    batch_size: int
    threads: int
    transfer: Transfer


@dataclass(frozen=True)
class LatencyRun:
    """All samples in the order they were taken, the seed of that order, and what the experiment took.

    rounds: how many there were; a configuration that takes long may have been timed in the first ones only.
    """

    samples: list[LatencySamples]
    placements: dict[str, dict[str, int]]
    seed: int
    rounds: int
    elapsed_s: float
    notes: list[str] = field(default_factory=list)


def configurations(
    models: Sequence[tuple[str, Path]], providers: Sequence[Provider], batch_sizes: Sequence[int], threads: int
) -> list[Configuration]:
    """Model × provider × batch size; on a GPU host to host and device only."""
    return [
        Configuration(model, path, provider, batch_size, threads, transfer)
        for provider in providers
        for batch_size in batch_sizes
        for transfer in _transfers(provider)
        for model, path in models
    ]


def run_experiment(
    wanted: Sequence[Configuration],
    images_u8: UInt8Array,
    budget_s: float = DEFAULT_BUDGET_S,
    seed: int = 0,
    report: Callable[[float, str], None] = lambda _elapsed_s, _doing: None,
    min_rounds: int = FEWEST_ROUNDS,
) -> LatencyRun:
    """Time every configuration in rounds until `budget_s` is spent, at least `min_rounds` of them.

    Each round runs every configuration once, in an order drawn from `seed`, each in a fresh child process with nothing
    else alive, so that drift of the machine hits all alike. After `min_rounds` the quickest places go on first, until they
    have as many rounds as a verdict needs: what is compared is always timed in the same rounds. images_u8: raw images to
    feed, repeated where a batch needs more. `report(elapsed_s, doing)` is called before each process. Raises UserError where
    a configuration cannot run.
    """
    order = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    samples: list[LatencySamples] = []
    placements: dict[str, dict[str, int]] = {}
    schedule = Schedule({_place(c) for c in wanted}, budget_s, min_rounds)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        images_path = write_images(images_u8, max(c.batch_size for c in wanted), Path(folder))
        rounds = 0
        while places := schedule.next_round(time.perf_counter() - started):
            shuffled = [c for c in wanted if _place(c) in places]
            order.shuffle(shuffled)
            for configuration in shuffled:
                elapsed_s = time.perf_counter() - started
                report(elapsed_s, f"round {rounds + 1}: {configuration.model}, batch {configuration.batch_size}")
                answer = _measure(configuration, images_path)
                schedule.spent(_place(configuration), time.perf_counter() - started - elapsed_s)
                placements[f"{configuration.model} on {configuration.provider.name}"] = answer["placement"]
                samples.append(_samples(configuration, answer, rounds, len(samples)))
            schedule.done(places)
            rounds += 1
    elapsed_s = time.perf_counter() - started
    return LatencyRun(samples, placements, seed, rounds, elapsed_s, schedule.notes(elapsed_s))


def _place(configuration: Configuration) -> Place:
    return configuration.provider.name, configuration.batch_size, configuration.transfer


def _measure(configuration: Configuration, images_path: Path) -> dict[str, Any]:
    """The worker's answer for one configuration, from a fresh child process."""
    job = {
        "path": str(configuration.path.resolve()),
        "provider": configuration.provider.name,
        "options": dict(configuration.provider.options),
        "batch_size": configuration.batch_size,
        "threads": configuration.threads,
        "transfer": configuration.transfer,
        "images": str(images_path),
        "sample_s": SAMPLE_S,
    }
    return ask_child("benchmark.latency_worker", job, f"timing {_where(configuration)}")


def _samples(configuration: Configuration, answer: dict[str, Any], round_index: int, process_index: int) -> LatencySamples:
    return LatencySamples(
        model=configuration.model,
        provider=answer["provider"],
        batch_size=configuration.batch_size,
        threads=configuration.threads,
        transfer=configuration.transfer,
        round=round_index,
        process=process_index,
        session_load_ms=answer["session_load_ms"],
        first_run_ms=answer["first_run_ms"],
        warmup_ms=np.array(answer["warmup_ms"]),
        samples_ms=np.array(answer["samples_ms"]),
    )


def write_images(images_u8: UInt8Array, largest_batch: int, folder: Path) -> Path:
    """Enough raw images for the largest batch and for a few small ones, repeated if need be, as an .npy for the children."""
    path = folder / "images.npy"
    largest_batch = max(largest_batch, FEWEST_IMAGES)
    repeats = -(-largest_batch // len(images_u8))
    np.save(path, np.tile(images_u8[:largest_batch], (repeats, 1, 1, 1))[:largest_batch])
    return path


def _transfers(provider: Provider) -> tuple[Transfer, ...]:
    return ("host-to-host", "device-only") if provider.name == CUDA else ("host-to-host",)


def _where(configuration: Configuration) -> str:
    return f"{configuration.model} on {configuration.provider.name} at batch {configuration.batch_size}"
