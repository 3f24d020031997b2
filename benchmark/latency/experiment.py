"""Latency as an experiment: every configuration in fresh processes, in rounds, in random order within each round."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmark.latency.schedule import WHOLE, FixedRounds, Place, ProcessCost, RoundCosts, Schedule, Share
from benchmark.latency.worker import measure_calls, most_calls_s
from core.console import print_line, progress
from core.files import told_if_temporary_full
from core.launch import ask_child
from core.launch.together import ask_together
from core.records import LatencySamples, UInt8Array
from models.runtimes.base import Classifier, Provider, module_of
from models.runtimes.registry import Transfer, runtime_of, takes

DEFAULT_BUDGET_S = 60.0
FEWEST_IMAGES = 64  # one image is not enough where the time depends on the image
SAMPLE_S = 0.25  # of timed calls per process: short, as more processes narrow an interval more than more calls do


@dataclass(frozen=True)
class Configuration:
    """What is timed together; path: of its file, None for a function, whose `classifier` is called in this process.

    instances: processes that run it at the same time, each on `threads` threads.
    """

    model: str
    path: Path | None
    provider: Provider
    batch_size: int
    threads: int
    transfer: Transfer
    classifier: Classifier | None = None
    instances: int = 1

    @property
    def name(self) -> str:
        """Its name among those of its provider, batch size and transfer."""
        return f"{self.model}, {self.instances} × {self.threads}"


@dataclass(frozen=True)
class LatencyRun:
    """All samples in the order they were taken, the seed of that order, and the seconds it all took.

    wanted: what was asked for, in the order of the tables; rounds: their number, each of some batch sizes.
    """

    wanted: Sequence[Configuration]
    samples: list[LatencySamples]
    placements: dict[str, dict[str, int]]
    seed: int
    rounds: int
    elapsed_s: float
    notes: list[str] = field(default_factory=list)

    def in_order(self) -> list[LatencySamples]:
        """The samples by model, provider, batch size and transfer as they were asked for, and by round within these."""
        orders = [list(dict.fromkeys(values)) for values in zip(*map(_sorting, self.wanted), strict=True)]
        return sorted(self.samples, key=lambda s: ([o.index(v) for o, v in zip(orders, _sorting(s), strict=True)], s.round))


def configurations(
    models: Sequence[tuple[str, Path]], providers: Sequence[Provider], batch_sizes: Sequence[int], threads: int
) -> list[Configuration]:
    """Model × provider that takes it × batch size × transfer; on a GPU both host to host and device only."""
    return [
        Configuration(model, path, provider, batch_size, threads, transfer)
        for provider in providers
        for batch_size in batch_sizes
        for transfer in runtime_of(provider.name).transfers
        for model, path in models
        if takes(runtime_of(provider.name), path)
    ]


def of_functions(functions: Sequence[Classifier], batch_sizes: Sequence[int], threads: int) -> list[Configuration]:
    """Function × batch size, each called in this process: a function cannot be sent to another one."""
    return [
        Configuration(one.card.name, None, provider_of(one), batch_size, threads, "host-to-host", one)
        for batch_size in batch_sizes
        for one in functions
    ]


def provider_of(classifier: Classifier) -> Provider:
    """The runtime of a model that is open already, as this machine has it."""
    return module_of(classifier.runtime).provider(classifier.runtime)


def run_experiment(
    wanted: Sequence[Configuration],
    images_u8: UInt8Array,
    budget_s: float = DEFAULT_BUDGET_S,
    seed: int = 0,
    report: Callable[[float, str], None] = lambda _elapsed_s, _doing: None,
    announce: Callable[[str], None] = lambda _line: None,
    *,
    first_batch_size: int | None = None,
    n_rounds: int | None = None,
    share: Share = WHOLE,
) -> LatencyRun:
    """Time configurations in rounds as long as another round fits into `budget_s`, or in `n_rounds` of everything.

    A round runs every model once at some batch sizes, in an order drawn from `seed`, each in a fresh child process with
    nothing else alive, so that drift of the machine hits all alike: what is compared is always timed in the same rounds.
    `benchmark.latency.schedule` chooses the batch sizes: `first_batch_size`, the smallest if not given, comes first.
    images_u8: raw images to feed, repeated if a batch needs more. `report(elapsed_s, doing)` is called before each
    process, and `announce(line)` before the first one, with the time needed at least, and after the first round, with the plan.
    share: the part of the run's budget that this experiment has.
    Raises UserError if a configuration cannot run.
    """
    order = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    samples: list[LatencySamples] = []
    placements: dict[str, dict[str, int]] = {}
    models = _models_by_place(wanted, first_batch_size)
    costs = RoundCosts(models, partial(most_calls_s, sample_s=SAMPLE_S))
    schedule = Schedule(list(models), budget_s, costs, share) if n_rounds is None else FixedRounds(list(models), n_rounds)
    if start := schedule.start_line():
        announce(start)
    started = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        images_path = write_images(images_u8, max(c.batch_size for c in wanted), Path(folder))
        rounds = 0
        while places := schedule.next_round(perf_counter() - started):
            shuffled = [c for c in wanted if _place(c) in places]
            order.shuffle(shuffled)
            for configuration in shuffled:
                elapsed_s = perf_counter() - started
                report(elapsed_s, f"round {rounds + 1}: {configuration.model}, batch {configuration.batch_size}")
                answers = _measure(configuration, images_path)
                process_s = perf_counter() - started - elapsed_s
                costs.add(_place(configuration), configuration.name, _cost(answers[0], process_s))
                placements[f"{configuration.model} on {configuration.provider.name}"] = answers[0]["placement"]
                samples += [_samples(configuration, answer, rounds, len(samples) + i) for i, answer in enumerate(answers)]
            schedule.done(places)
            rounds += 1
            if rounds == 1 and (plan := schedule.plan_line(perf_counter() - started)):
                announce(plan)
    elapsed_s = perf_counter() - started
    return LatencyRun(wanted, samples, placements, seed, rounds, elapsed_s, schedule.notes(elapsed_s))


def run_shown(
    wanted: Sequence[Configuration],
    images_u8: UInt8Array,
    budget_s: float,
    seed: int,
    first_batch_size: int | None = None,
    share: Share = WHOLE,
) -> LatencyRun:
    """`run_experiment` with a progress bar, in seconds, and its announcements on stderr."""
    with progress("doing", ticking=False) as display:
        task = display.add_task("timing, seconds", total=round(budget_s), doing="")

        def report(elapsed_s: float, doing: str) -> None:
            display.update(task, completed=min(round(elapsed_s), round(budget_s)), doing=doing, refresh=True)

        return run_experiment(
            wanted,
            images_u8,
            budget_s,
            seed,
            report,
            lambda line: print_line(display, line),
            first_batch_size=first_batch_size,
            share=share,
        )


def _models_by_place(wanted: Sequence[Configuration], first_batch_size: int | None) -> dict[Place, list[str]]:
    """Names timed at each place; first the places of `first_batch_size`, the smallest if not given."""
    first = min(c.batch_size for c in wanted) if first_batch_size is None else first_batch_size
    models: dict[Place, list[str]] = {}
    for configuration in sorted(wanted, key=lambda c: c.batch_size != first):
        models.setdefault(_place(configuration), []).append(configuration.name)
    return models


def _place(configuration: Configuration) -> Place:
    return configuration.provider.name, configuration.batch_size, configuration.transfer


def _sorting(timed: Configuration | LatencySamples) -> tuple[str, str, int, str]:
    provider = timed.provider.name if isinstance(timed, Configuration) else timed.provider
    return timed.model, provider, timed.batch_size, timed.transfer


def _cost(answer: dict[str, Any], process_s: float) -> ProcessCost:
    calls_ms = answer["first_run_ms"] + sum(answer["warmup_ms"]) + sum(answer["samples_ms"])
    return ProcessCost(process_s, calls_ms / 1000, float(np.median(answer["samples_ms"])) / 1000)


def _measure(configuration: Configuration, images_path: Path) -> list[dict[str, Any]]:
    """The answer of each instance of a configuration, from fresh child processes; a function is measured in this one."""
    if configuration.path is None and configuration.classifier is not None:
        images_u8 = np.load(images_path, allow_pickle=False)
        calls = measure_calls(configuration.classifier, images_u8, configuration.batch_size, configuration.transfer, SAMPLE_S)
        return [{"session_load_ms": float("nan")} | calls]
    job = {
        "path": str(Path(configuration.path or "").resolve()),
        "provider": configuration.provider.name,
        "batch_size": configuration.batch_size,
        "threads": configuration.threads,
        "transfer": configuration.transfer,
        "images": str(images_path),
        "sample_s": SAMPLE_S,
    }
    if configuration.instances > 1:
        jobs = [job] * configuration.instances
        what = f"timing {configuration.instances} instances of {_where(configuration)}"
        return ask_together("benchmark.settings.worker", jobs, what, otherwise="try fewer --instances")
    return [ask_child("benchmark.latency.worker", job, f"timing {_where(configuration)}")]


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
        peak_memory_mb=answer.get("peak_memory_mb", math.nan),
        energy_j=answer.get("energy_j", math.nan),
        instances=configuration.instances,
    )


def write_images(images_u8: UInt8Array, largest_batch: int, folder: Path) -> Path:
    """Enough raw images for the largest batch and for a few small ones, repeated if need be, as an .npy for the children."""
    path = folder / "images.npy"
    largest_batch = max(largest_batch, FEWEST_IMAGES)
    repeats = -(-largest_batch // len(images_u8))
    with told_if_temporary_full():
        np.save(path, np.tile(images_u8[:largest_batch], (repeats, 1, 1, 1))[:largest_batch])
    return path


def _where(configuration: Configuration) -> str:
    return f"{configuration.model} on {configuration.provider.name} at batch {configuration.batch_size}"
