"""What a very large evaluation takes, simulated: shards of one model's images on machines that straggle and are taken away.

    python docs/scale_simulation.py

Every figure is of this model, not of a cluster: machines draw their slowness once (log-normal), spot machines are taken away at
random (exponential) and replaced after a while, a shard that loses its machine starts again, and idle machines repeat the shards
that are still running if `backups` is set. The rates are parameters, to be replaced by those that `predict` shows on your machines.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass

HOUR_S = 3600.0


@dataclass(frozen=True)
class Cluster:
    """images_per_s: of one machine and model, decoding included; slowness: sigma of the log-normal; lifetime_h: mean time until a
    spot machine is taken away, infinite for others; replaced_s: until another takes its place; start_s: to open a shard.
    """

    n_machines: int
    images_per_s: float
    slowness: float = 0.25
    lifetime_h: float = math.inf
    replaced_s: float = 120.0
    start_s: float = 10.0
    backups: bool = False


@dataclass(frozen=True)
class Outcome:
    """elapsed_h: until the last shard is done; ideal_h: the same images on machines all alike that never fail and start at once;
    repeated: machine time on shards that were lost or done twice, as a share of all.
    """

    elapsed_h: float
    ideal_h: float
    repeated: float


def simulate(n_images: float, n_shards: int, cluster: Cluster, seed: int = 0) -> Outcome:
    """One run, by events: a machine becomes free, a shard ends, or its machine is taken away."""
    draw = random.Random(seed)  # noqa: S311  # a simulation
    shard_s = n_images / n_shards / cluster.images_per_s
    waiting = list(range(n_shards - 1, -1, -1))
    running: dict[int, int] = {}  # shard → attempts that run now
    done: set[int] = set()
    slow = [math.exp(draw.gauss(0, cluster.slowness)) for _ in range(cluster.n_machines)]
    dies_s = [_lifetime_s(cluster, draw) for _ in range(cluster.n_machines)]
    # time, kind (0: an attempt ends, 1: a machine is free), machine, shard, how long it ran, whether it succeeded
    events: list[tuple[float, int, int, int, float, bool]] = [
        (0.0, 1, machine, -1, 0.0, True) for machine in range(cluster.n_machines)
    ]
    idle: list[int] = []
    used_s = useful_s = now = 0.0
    while len(done) < n_shards:
        now, kind, machine, shard, ran_s, succeeded = heapq.heappop(events)
        if kind == 0:
            used_s += ran_s
            running[shard] -= 1
            if succeeded and shard not in done:
                done.add(shard)
                useful_s += ran_s
            elif not succeeded and shard not in done and not running[shard]:
                waiting.append(shard)
            if not succeeded:
                slow[machine] = math.exp(draw.gauss(0, cluster.slowness))
                now_free = now + cluster.replaced_s
                dies_s[machine] = now_free + _lifetime_s(cluster, draw)
                heapq.heappush(events, (now_free, 1, machine, -1, 0.0, True))
                machine = -1
        free = [*idle, *([machine] if machine >= 0 else [])]
        idle = []
        for one in free:
            chosen = _next(waiting, running, done, cluster.backups)
            if chosen is None:
                idle.append(one)
                continue
            running[chosen] = running.get(chosen, 0) + 1
            needed_s = cluster.start_s + shard_s * slow[one]
            lives_s = max(0.0, dies_s[one] - now)
            heapq.heappush(events, (now + min(needed_s, lives_s), 0, one, chosen, min(needed_s, lives_s), needed_s <= lives_s))
    ideal_s = n_images / cluster.images_per_s / cluster.n_machines
    return Outcome(now / HOUR_S, ideal_s / HOUR_S, 1 - useful_s / max(used_s, 1e-9))


def _lifetime_s(cluster: Cluster, draw: random.Random) -> float:
    return math.inf if math.isinf(cluster.lifetime_h) else draw.expovariate(1 / (cluster.lifetime_h * HOUR_S))


def _next(waiting: list[int], running: dict[int, int], done: set[int], backups: bool) -> int | None:
    """A shard that nobody has; with backups one that a single machine has; None if there is none."""
    while waiting:
        shard = waiting.pop()
        if shard not in done:
            return shard
    alone = [shard for shard, n_attempts in running.items() if n_attempts == 1 and shard not in done] if backups else []
    return alone[0] if alone else None


def figures() -> dict[str, float]:
    """The figures that docs/scale.md quotes, by name."""
    billion, machines, rate = 1e9, 100, 500.0
    steady = Cluster(machines, rate)
    spot = Cluster(machines, rate, lifetime_h=2.0)
    found = {"ideal hours": simulate(billion, 1000, steady).ideal_h}
    for n_shards in (100, 1_000, 10_000):
        found[f"hours, {n_shards} shards"] = simulate(billion, n_shards, steady).elapsed_h
        found[f"hours, {n_shards} shards, spot"] = simulate(billion, n_shards, spot).elapsed_h
        found[f"hours, {n_shards} shards, backups"] = simulate(billion, n_shards, Cluster(machines, rate, backups=True)).elapsed_h
    found["repeated, 1000 shards, spot"] = simulate(billion, 1000, spot).repeated
    found["repeated, 10000 shards, spot"] = simulate(billion, 10000, spot).repeated
    # Sizes, in GB (10^9 bytes): float32 logits of 1,000 classes, and what one class, its probability and its loss take instead.
    found["GB of logits per model"] = billion * 1000 * 4 / 1e9
    found["GB of scalars per model"] = billion * (2 + 4 + 4) / 1e9
    found["GB of right or wrong"] = 1000 * billion / 8 / 1e9
    found["days to decode again"] = billion / 2000 / 86400
    found["pairs of 1,000 models"] = 1000 * 999 / 2
    found["machine days, 1,000 models, decoding each time"] = 1000 * billion / rate / 86400
    # Decoding takes 1 / 2,000 s of the 1 / 500 s that an image and a model take together: 1,000 models after one decoding.
    found["machine days, 1,000 models, decoding once"] = billion * (1 / 2000 + 1000 * (1 / rate - 1 / 2000)) / 86400
    return found


if __name__ == "__main__":
    for name, value in figures().items():
        print(f"{name:50} {value:,.4g}")
