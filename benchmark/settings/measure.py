"""Times every model in every setting, in rounds of fresh processes in random order, as the latency experiment does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmark.latency.experiment import Configuration, LatencyRun, run_shown
from benchmark.latency.schedule import Share
from benchmark.options import Options
from benchmark.settings.grid import Setting
from core.records import UInt8Array

SHARE = Share(of_budget=0.5)  # of the latency budget, for each of the two experiments if settings are compared
_OWN = replace(SHARE, what="instances and threads", compared="setting", timings="timings", where="fresh processes")


def measure_settings(
    ordinary: Sequence[Configuration], settings: Sequence[Setting], images_u8: UInt8Array, options: Options
) -> LatencyRun:
    """Time the files among the `ordinary` configurations, host to host, in each of `settings`."""
    timed = [c for c in ordinary if c.path is not None and c.transfer == "host-to-host"]
    wanted = [replace(c, instances=setting.instances, threads=setting.threads) for c in timed for setting in settings]
    return run_shown(wanted, images_u8, _OWN.of_budget * options.time_budget_s, options.seed, options.at_batch, _OWN)
