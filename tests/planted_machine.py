"""A machine with a planted clock: what a timing process takes on it is known, so tests of timing need no stopwatch."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.latency import experiment as latency
from benchmark.latency import worker as latency_worker
from core import launch as children


class PlantedMachine:
    """Answers latency jobs as a child process would, and moves its clock by what that child would take.

    call_s: seconds of a call of each model at batch 1, by the stem of its file; they grow with the batch size. noise: the
    standard deviation of the logarithm of a process's speed; speed(instances, threads): how much faster than that calls are in
    this setting; drift(clock_s): what the machine itself is slower by at a moment; places: what the processes of a round are
    slower by, one after the other, over and over.
    """

    def __init__(
        self,
        call_s: Mapping[str, float],
        *,
        besides_s: float = 0.6,
        noise: float = 0.0,
        speed: Callable[[int, int], float] = lambda _instances, _threads: 1.0,
        drift: Callable[[float], float] = lambda _clock_s: 1.0,
        places: tuple[float, ...] = (1.0,),
        seed: int = 0,
    ) -> None:
        self.call_s, self.besides_s, self.noise, self.drift, self.places = call_s, besides_s, noise, drift, places
        self.speed = speed
        self.random = np.random.default_rng(seed)
        self.clock_s = 1000.0
        self.jobs: list[dict[str, Any]] = []

    def perf_counter(self) -> float:
        """The planted clock."""
        return self.clock_s

    def ask_together(self, module: str, jobs: list[dict[str, Any]], _what: str, *, otherwise: str) -> list[dict[str, Any]]:
        """The answers of workers that work at the same time."""
        assert otherwise
        begun_s, ended_s, answers = self.clock_s, [], []
        for job in jobs:
            self.clock_s = begun_s
            answers.append(self.ask_child(module, job, _what, len(jobs)))
            ended_s.append(self.clock_s)
        self.clock_s = max(ended_s)
        return answers

    def ask_child(self, module: str, job: dict[str, Any], _what: str, instances: int = 1) -> dict[str, Any]:
        """The answer of a worker that makes every call of `latency_worker.most_calls_s`."""
        sequential = module == "benchmark.latency.sequential_worker"
        stems = [Path(path).stem for path in (job["paths"] if sequential else [job["path"]])]
        own = sum(self.call_s[stem] for stem in stems) * job["batch_size"] / self.speed(instances, job["threads"])
        disturbed = (
            np.exp(self.random.normal(0, self.noise)) * self.drift(self.clock_s) * self.places[len(self.jobs) % len(self.places)]
        )
        call_s = own * disturbed
        in_calls_s = latency_worker.most_calls_s(call_s, job["sample_s"])
        n_calls = round(in_calls_s / call_s)
        n_timed = max(1, round(job["sample_s"] / call_s))
        self.jobs.append({"module": module, "instances": instances, **job})
        self.clock_s += self.besides_s + in_calls_s
        calls_ms = [1000 * call_s] * n_calls
        answer = {
            "session_load_ms": 100.0,
            "first_run_ms": calls_ms[0],
            "warmup_ms": calls_ms[1 : n_calls - n_timed],
            "samples_ms": calls_ms[n_calls - n_timed :] or calls_ms[:1],
            "provider": job.get("provider", "CPUExecutionProvider"),
            "placement": {job.get("provider", "CPUExecutionProvider"): 10},
        }
        found: dict[str, Any] = json.loads(json.dumps(answer))  # as it comes through a pipe
        return found

    def install(self, patch: Any) -> PlantedMachine:
        """Put this machine in the place of child processes and of the clock, by pytest's `monkeypatch`; returns itself."""
        patch.setattr(children, "ask_child", self.ask_child)
        patch.setattr(latency, "ask_child", self.ask_child)
        patch.setattr(latency, "ask_together", self.ask_together)
        patch.setattr(latency, "perf_counter", self.perf_counter)
        return self


def real_children_on_a_planted_clock(patch: Any, process_s: float) -> None:
    """Child processes are real, but the budget sees each of them take `process_s`: how many there are depends on no stopwatch."""
    _on_a_planted_clock(patch, process_s, children.ask_child)


def workers_in_this_process(patch: Any, process_s: float) -> None:
    """The same without child processes: the worker's answers come from this one, with whatever a test has registered here."""

    def ask(_module: str, job: dict[str, Any], _what: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(json.dumps(latency_worker.measure({**job, "sample_s": 0.01})))
        finally:
            gc.enable()
        return answer

    _on_a_planted_clock(patch, process_s, ask)


def _on_a_planted_clock(patch: Any, process_s: float, ask: Callable[[str, dict[str, Any], str], dict[str, Any]]) -> None:
    clock_s = [0.0]

    def ask_child(module: str, job: dict[str, Any], what: str) -> dict[str, Any]:
        clock_s[0] += process_s
        return ask(module, job, what)

    patch.setattr(latency, "ask_child", ask_child)
    patch.setattr(latency, "perf_counter", lambda: clock_s[0])
