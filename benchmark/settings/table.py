"""The figures of each setting, and which is the best: tables of the timed calls, with the tests of `benchmark.latency.pairs`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from benchmark.latency.pairs import FASTER, MIN_PAIRS, NOT_TESTED, SLOWER, LatencyPair, compare_rounds
from benchmark.latency.summary import summarise
from benchmark.report.tables import sample_rows
from benchmark.settings.grid import Setting
from core.records import LatencySamples
from core.statistics import bootstrap_ci95

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "model provider batch_size instances threads n_rounds n_samples latency_p50_ms latency_p50_ci95_low_ms "
    "latency_p50_ci95_high_ms latency_p95_ms latency_p99_ms throughput_images_per_s throughput_ci95_low_images_per_s "
    "throughput_ci95_high_images_per_s latency_verdict throughput_verdict stability_note missing"
).split()
PAIRS_COLUMNS = (
    "model provider batch_size measure instances_a threads_a instances_b threads_b n_rounds ratio ratio_ci95_low ratio_ci95_high "
    "sign_flip_p verdict"
).split()
LATENCY, THROUGHPUT = "latency", "throughput"
BEST, TIED, BEATEN, ONLY = "best", "tied for best", "not best", "only one"
HIGHER, LOWER = "higher", "lower"
_OF_THROUGHPUT = {FASTER: HIGHER, SLOWER: LOWER}

Where = tuple[str, str, int]  # model, provider and batch size: settings are compared within one of these
ByRound = dict[int, list[LatencySamples]]  # the samples of the instances of one setting


@dataclass(frozen=True)
class Pair:
    """Setting a's figure over setting b's: seconds per call, or per image of all instances together, with the verdict on a."""

    where: Where
    measure: str
    a: Setting
    b: Setting
    tested: LatencyPair


def by_setting(samples: Sequence[LatencySamples]) -> dict[Where, dict[Setting, ByRound]]:
    """The samples of each round's instances, by model, provider and batch size, then setting (sorted), then round."""
    found: dict[Where, dict[Setting, ByRound]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for one in samples:
        found[one.model, one.provider, one.batch_size][Setting(one.instances, one.threads)][one.round].append(one)
    return {where: {setting: settings[setting] for setting in sorted(settings)} for where, settings in found.items()}


def throughput(instances: Sequence[LatencySamples]) -> float:
    """Images per second of all instances of one round together: the sum of the rates of their own timed calls."""
    return float(sum(one.batch_size * len(one.samples_ms) / (one.samples_ms.sum() / 1000) for one in instances))


def pooled(instances: Sequence[LatencySamples]) -> LatencySamples:
    """The calls of all instances of one round, as if of one process."""
    return replace(instances[0], samples_ms=np.concatenate([one.samples_ms for one in instances]))


def settings_tables(samples: Sequence[LatencySamples]) -> dict[str, pd.DataFrame]:
    """Every table of the settings by its file name."""
    pairs = pairs_of(samples)
    return {
        "settings.csv": settings_rows(samples, pairs),
        "settings_pairs.csv": settings_pair_rows(pairs),
        "settings_samples.csv.gz": settings_sample_rows(samples),
    }


def pairs_of(samples: Sequence[LatencySamples]) -> list[Pair]:
    """Every two settings of a model at one provider and batch size, over the rounds that timed both, by both measures."""
    pairs = []
    for where, settings in by_setting(samples).items():
        figures: dict[str, dict[Setting, dict[int, float]]] = {
            LATENCY: {s: {r: float(np.median(pooled(i).samples_ms)) for r, i in rounds.items()} for s, rounds in settings.items()},
            THROUGHPUT: {s: {r: 1000 / throughput(i) for r, i in rounds.items()} for s, rounds in settings.items()},
        }
        for measure, ms in figures.items():
            for a, b in combinations(settings, 2):
                _, provider, batch_size = where
                tested = compare_rounds(str(a), str(b), provider, batch_size, "host-to-host", ms[a], ms[b])
                pairs.append(Pair(where, measure, a, b, tested))
    return pairs


def verdicts(figures: Mapping[Setting, float], pairs: Sequence[Pair], n_rounds: int) -> dict[Setting, str]:
    """The verdict on each setting: best, tied for best, or not best; figures: less is better; pairs: of one place and measure.

    If no other is significantly better than a setting, it is best, or tied if there are several such. Tests may form a circle:
    if each is beaten by another, the best figure counts.
    """
    if len(figures) < 2:
        return dict.fromkeys(figures, ONLY)
    if n_rounds < MIN_PAIRS:
        return dict.fromkeys(figures, NOT_TESTED)
    beaten = {pair.a if pair.tested.verdict == SLOWER else pair.b for pair in pairs if pair.tested.verdict in (FASTER, SLOWER)}
    unbeaten = {setting for setting in figures if setting not in beaten} or {min(figures, key=lambda setting: figures[setting])}
    word = BEST if len(unbeaten) == 1 else TIED
    return {setting: word if setting in unbeaten else BEATEN for setting in figures}


def settings_rows(samples: Sequence[LatencySamples], pairs: Sequence[Pair]) -> pd.DataFrame:
    """`settings.csv`: one row per model, provider, batch size and setting."""
    import pandas as pd

    rows = []
    for where, settings in by_setting(samples).items():
        whole = {
            setting: summarise([pooled(instances) for instances in rounds.values()])[0] for setting, rounds in settings.items()
        }
        per_s = {
            setting: np.array([throughput(instances) for instances in rounds.values()]) for setting, rounds in settings.items()
        }
        n_rounds = min(len(values) for values in per_s.values())
        figures = {
            LATENCY: {setting: one.p50_ms for setting, one in whole.items()},
            THROUGHPUT: {setting: -float(np.median(values)) for setting, values in per_s.items()},
        }
        own = {m: [pair for pair in pairs if (pair.where, pair.measure) == (where, m)] for m in figures}
        words = {measure: verdicts(figures[measure], own[measure], n_rounds) for measure in figures}
        for setting, one in whole.items():
            spread = (float(np.median(per_s[setting])), *bootstrap_ci95(per_s[setting]))
            latency = (one.p50_ms, *one.p50_ci95, one.tails_ms[95], one.tails_ms[99])
            said = (words[LATENCY][setting], words[THROUGHPUT][setting], one.stability_note, one.missing)
            counts = (setting.instances, setting.threads, one.n_processes, one.n_samples)
            rows.append((*where, *counts, *latency, *spread, *said))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def settings_pair_rows(pairs: Sequence[Pair]) -> pd.DataFrame:
    """`settings_pairs.csv`: one row per pair of settings and measure; ratio: a's p50, or images per second, over b's."""
    import pandas as pd

    rows = []
    for pair in pairs:
        ratio, (low, high), verdict = pair.tested.ratio, pair.tested.ratio_ci95, pair.tested.verdict
        if pair.measure == THROUGHPUT:
            ratio, low, high, verdict = 1 / ratio, 1 / high, 1 / low, _OF_THROUGHPUT.get(verdict, verdict)
        settings = (pair.a.instances, pair.a.threads, pair.b.instances, pair.b.threads)
        rows.append(
            (*pair.where, pair.measure, *settings, pair.tested.n_rounds, ratio, low, high, pair.tested.sign_flip_p, verdict)
        )
    return pd.DataFrame(rows, columns=list(PAIRS_COLUMNS))


def settings_sample_rows(samples: Sequence[LatencySamples]) -> pd.DataFrame:
    """`settings_samples.csv.gz`: as `latency_samples.csv.gz`, with the number of instances; each has a `process` of its own."""
    frame = sample_rows(samples)
    n_rows = [2 + len(one.warmup_ms) + len(one.samples_ms) for one in samples]
    frame.insert(3, "instances", np.repeat([one.instances for one in samples], n_rows))
    return frame
