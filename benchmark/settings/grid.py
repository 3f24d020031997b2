"""Which settings fit on a machine: a number of instances of a model, each on a number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.options import Options
from core.decimals import counted
from core.environment import require_cores
from core.errors import UserError


@dataclass(frozen=True, order=True)
class Setting:
    """`instances` processes that run the same model at the same time, each on `threads` threads."""

    instances: int
    threads: int

    def __str__(self) -> str:
        return f"{counted(self.instances, 'instance')} × {counted(self.threads, 'thread')}"


def wanted_settings(options: Options, cores: int, has_files: bool) -> tuple[list[Setting], list[str]]:
    """The settings that a benchmark compares, empty if its options ask for none, and notes.

    UserError if no ONNX file or no time is given.
    """
    if not is_asked_for(options.instances, options.thread_counts):
        return [], []
    if not has_files:
        raise UserError("--instances and several --threads time ONNX files, and there are none; name some with --models")
    if options.time_budget_s == 0:
        raise UserError("--instances and several --threads need latencies, which --time-budget 0 leaves out; give it some seconds")
    return settings_of(options.instances, options.thread_counts, cores)


def is_asked_for(instances: Sequence[int], threads: Sequence[int]) -> bool:
    """Whether flags ask for a comparison of settings: every run measures one instance on one number of threads."""
    return len(threads) > 1 or tuple(instances) != (1,)


def settings_of(instances: Sequence[int], threads: Sequence[int], cores: int) -> tuple[list[Setting], list[str]]:
    """The settings that fit on `cores`, and a note on those that do not; without `threads` the instances share the cores evenly.

    UserError if none fits.
    """
    asked = [Setting(n, t) for n in sorted(set(instances)) for t in (sorted(set(threads)) or [max(1, cores // n)])]
    fitting = [setting for setting in asked if setting.instances * setting.threads <= cores]
    if not fitting:
        raise UserError(
            f"--instances {asked[0].instances} of {counted(asked[0].threads, 'thread')} each need "
            f"{asked[0].instances * asked[0].threads} cores, and this process may use {cores}; pass fewer of either"
        )
    left_out = [setting for setting in asked if setting not in fitting]
    if not left_out:
        return fitting, []
    named = ", ".join(map(str, left_out))
    return fitting, [f"settings: {named} left out, because this process may use {counted(cores, 'core')}"]


def threads_of_run(threads: Sequence[int], cores: int) -> int:
    """The threads of everything but the comparison of settings: the largest number given that fits, all cores if none is given.

    UserError if none fits.
    """
    if not threads:
        return cores
    require_cores(min(threads), cores)
    return max(t for t in threads if t <= cores)
