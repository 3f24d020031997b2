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
from benchmark.sessions import CUDA, Provider
from core.records import LatencySamples, UInt8Array

Transfer = Literal["host-to-host", "device-only"]

DEFAULT_BUDGET_S = 60.0
MIN_ROUNDS = 3  # fewer processes have no spread to speak of
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
    """All samples in the order they were taken, the seed of that order, and what the experiment took."""

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
    min_rounds: int = MIN_ROUNDS,
) -> LatencyRun:
    """Time every configuration in rounds until `budget_s` is spent, at least `min_rounds` of them.

    Each round runs every configuration once, in an order drawn from `seed`, each in a fresh child process with nothing
    else alive, so that drift of the machine hits all alike. images_u8: raw images to feed, repeated where a batch needs
    more. `report(elapsed_s, doing)` is called before each process. Raises UserError where a configuration cannot run.
    """
    order = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    samples: list[LatencySamples] = []
    placements: dict[str, dict[str, int]] = {}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        images_path = write_images(images_u8, max(c.batch_size for c in wanted), Path(folder))
        rounds = 0
        while rounds < min_rounds or _another_round_fits(time.perf_counter() - started, rounds, budget_s):
            shuffled = list(wanted)
            order.shuffle(shuffled)
            for configuration in shuffled:
                report(
                    time.perf_counter() - started, f"round {rounds + 1}: {configuration.model}, batch {configuration.batch_size}"
                )
                answer = _measure(configuration, images_path)
                placements[f"{configuration.model} on {configuration.provider.name}"] = answer["placement"]
                samples.append(_samples(configuration, answer, rounds, len(samples)))
            rounds += 1
    elapsed_s = time.perf_counter() - started
    return LatencyRun(samples, placements, seed, rounds, elapsed_s, _budget_notes(rounds, elapsed_s, budget_s))


def _another_round_fits(elapsed_s: float, rounds: int, budget_s: float) -> bool:
    return elapsed_s * (rounds + 1) / rounds <= budget_s


def _budget_notes(rounds: int, elapsed_s: float, budget_s: float) -> list[str]:
    """What the budget bought, and what a longer one would: intervals narrow with the square root of the rounds."""
    round_s = elapsed_s / rounds
    bought = f"latency: {rounds} rounds (fresh processes per configuration) in {elapsed_s:.0f} s"
    if elapsed_s > budget_s * 1.1:
        bought += f", more than the budget of {budget_s:.0f} s because fewer than {MIN_ROUNDS} rounds have no interval"
    return [f"{bought}; --time-budget {4 * round_s * rounds:.0f} would buy {4 * rounds} rounds and intervals about half as wide"]


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
