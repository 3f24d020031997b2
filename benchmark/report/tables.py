"""The tidy tables of a run: one row per observation, units in the column names, significant digits, empty if not measurable."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.accuracy import metrics
from benchmark.accuracy.metrics import Accuracy
from benchmark.latency.loadgen import CrossCheck
from benchmark.latency.pairs import LatencyPair
from benchmark.latency.summary import LatencySummary
from core.decimals import cell
from core.environment import package_versions
from core.files import as_cell, as_named
from core.records import ImageSet, LatencySamples
from core.statistics import PairedCounts
from models.runtimes.base import Provider
from models.runtimes.registry import ONNX_RUNTIME, runtime_of

if TYPE_CHECKING:
    import pandas as pd

_COMPARISON_COLUMNS = (
    "model kind members backend precision provider device_name batch_size top1_accuracy top1_ci95_low top1_ci95_high macro_f1 nll "
    "ece_15bin latency_p50_ms latency_p50_ci95_low_ms latency_p50_ci95_high_ms latency_p95_ms latency_p99_ms "
    "throughput_images_per_s size_mb on_pareto_front n_images dataset dataset_sha256 pareto_ties "
    "aurc augrc coverage_at_1pct_error parameters gmacs peak_memory_mb usd_per_million_images "
    "corrupted_accuracy corruption_drop"
).split()
PER_CLASS_COLUMNS = "model class_name precision recall recall_ci95_low recall_ci95_high f1 support".split()
CONFUSION_COLUMNS = "model true_class predicted_class count".split()
LATENCY_COLUMNS = (
    "model provider device_name device_details tf32 onnxruntime_version nodes_on_provider nodes_elsewhere "
    "batch_size threads transfer n_processes n_samples session_load_ms first_run_ms n_warmup_calls "
    "p50_ms p50_ci95_low_ms p50_ci95_high_ms p90_ms p90_ci95_low_ms p90_ci95_high_ms p95_ms p95_ci95_low_ms p95_ci95_high_ms "
    "p99_ms p99_ci95_low_ms p99_ci95_high_ms throughput_images_per_s stability_note missing"
).split()
PAIRS_COLUMNS = (
    "model_a model_b both_right only_a_right only_b_right both_wrong accuracy_difference difference_ci95_low difference_ci95_high "
    "mcnemar_p holm_p verdict family provider"
).split()
LATENCY_PAIRS_COLUMNS = (
    "model_a model_b provider batch_size transfer n_rounds p50_ratio ratio_ci95_low ratio_ci95_high sign_flip_p verdict"
).split()
LOADGEN_COLUMNS = "model scenario batch_size figure ours loadgen ratio".split()
SAMPLES_COLUMNS = "model provider batch_size threads transfer round process phase call latency_ms".split()
# Columns that are read as text: a model may be called 0, 1e5, None or nan, and a fingerprint may look like a number.
TEXT_COLUMNS = (
    "model model_a model_b kind members member ensemble rule backend precision provider device_name device_details tf32 "
    "onnxruntime_version class_name true_class predicted_class transfer phase scenario figure metric verdict family pareto_ties "
    "dataset dataset_sha256 stability_note missing property quarter corruption corruptions baseline ood_data score left_out "
    "perturbation compared_with measure latency_verdict throughput_verdict"
).split()


def comparison_columns() -> list[str]:
    """The columns of `comparison.csv`; later metrics come at the end, so that no column ever moves."""
    later = [metric.column for metric in metrics.METRICS if metric.column not in _COMPARISON_COLUMNS]
    return [*_COMPARISON_COLUMNS, *later]


@dataclass(frozen=True)
class Entry:
    """One model of the comparison, single or ensemble, with its accuracy; `size_mb` nan for what is not a file."""

    name: str
    kind: str  # single, ensemble, or oracle: right if any member is, which no model can be
    members: tuple[str, ...]
    backend: str
    precision: str
    size_mb: float
    accuracy: Accuracy


@dataclass(frozen=True)
class Pair:
    """Two models on the same images: counts, difference, tests, and the verdict on model_a."""

    model_a: str
    model_b: str
    counts: PairedCounts
    difference_ci95: tuple[float, float]
    mcnemar_p: float
    holm_p: float
    verdict: str
    family: str = ""
    provider: str = ""


def comparison_rows(
    entries: Sequence[Entry],
    latencies: Sequence[LatencySummary],
    device_names: dict[str, str],
    image_set: ImageSet,
    own: Mapping[tuple[str, str], Accuracy] | None = None,
) -> pd.DataFrame:
    """`comparison.csv`: one row per model, provider and batch size, host to host; one without latency for an oracle.

    own: accuracy by model and provider, for providers whose predictions are not those of the entries. The Pareto columns
    are filled by `benchmark.report.pareto.mark_front`.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for entry in entries:
        timed = [s for s in latencies if s.model == entry.name and s.transfer == "host-to-host"]
        for summary in timed:
            accuracy = (own or {}).get((entry.name, summary.provider), entry.accuracy)
            rows.append({**_facts(entry, accuracy, image_set), **_timing(summary, device_names)})
        if not timed:
            rows.append(_facts(entry, entry.accuracy, image_set))
    return pd.DataFrame(rows, columns=comparison_columns())


def per_class_rows(accuracies: Sequence[Accuracy], class_names: Sequence[str]) -> pd.DataFrame:
    """`per_class.csv`: one row per model and class."""
    import pandas as pd

    rows = [
        (a.model, name, a.precision[i], a.recall[i], *a.recall_ci95[i], a.f1[i], int(a.confusion[i].sum()))
        for a in accuracies
        for i, name in enumerate(class_names)
    ]
    return pd.DataFrame(rows, columns=list(PER_CLASS_COLUMNS))


def confusion_rows(accuracies: Sequence[Accuracy], class_names: Sequence[str]) -> pd.DataFrame:
    """`confusion.csv`: one row per model, true and predicted class, zeros included."""
    import pandas as pd

    rows = [
        (a.model, true, predicted, int(a.confusion[i, j]))
        for a in accuracies
        for i, true in enumerate(class_names)
        for j, predicted in enumerate(class_names)
    ]
    return pd.DataFrame(rows, columns=list(CONFUSION_COLUMNS))


def latency_rows(
    latencies: Sequence[LatencySummary], providers: Sequence[Provider], placements: dict[str, dict[str, int]]
) -> pd.DataFrame:
    """`latency.csv`: one row per configuration, with what really ran where."""
    import pandas as pd

    known = {provider.name: provider for provider in providers}
    version = package_versions().get("onnxruntime-gpu") or package_versions().get("onnxruntime", "")
    rows = []
    for s in latencies:
        device, nodes = known[s.provider], placements[f"{s.model} on {s.provider}"]
        on_provider = nodes.get(s.provider, 0)
        row: list[Any] = [s.model, s.provider, device.device_name, device.details, device.tf32]
        row.append(version if runtime_of(s.provider).library == ONNX_RUNTIME else "")  # another's stands in device_details
        row += [on_provider, sum(nodes.values()) - on_provider, s.batch_size, s.threads, s.transfer, s.n_processes, s.n_samples]
        row += [s.session_load_ms, s.first_run_ms, s.n_warmup_calls, s.p50_ms, *s.p50_ci95]
        for percentile, value in s.tails_ms.items():
            row += [value, *s.tails_ci95[percentile]]
        rows.append([*row, s.throughput_images_per_s, s.stability_note, s.missing])
    return pd.DataFrame(rows, columns=list(LATENCY_COLUMNS))


def latency_pair_rows(pairs: Sequence[LatencyPair]) -> pd.DataFrame:
    """`latency_pairs.csv`: one row per pair of models, provider, batch size and transfer."""
    import pandas as pd

    rows = [
        (p.model_a, p.model_b, p.provider, p.batch_size, p.transfer, p.n_rounds, p.ratio, *p.ratio_ci95, p.sign_flip_p, p.verdict)
        for p in pairs
    ]
    return pd.DataFrame(rows, columns=list(LATENCY_PAIRS_COLUMNS))


def cross_check_rows(checks: Sequence[CrossCheck]) -> pd.DataFrame:
    """`loadgen.csv`: one row per model and scenario."""
    import pandas as pd

    rows = [(c.model, c.scenario, c.batch_size, c.figure, c.ours, c.loadgen, c.ratio) for c in checks]
    return pd.DataFrame(rows, columns=list(LOADGEN_COLUMNS))


def pair_rows(pairs: Sequence[Pair]) -> pd.DataFrame:
    """`pairs.csv`: one row per pair of models."""
    import pandas as pd

    rows = []
    for pair in pairs:
        counts = pair.counts
        cells = (counts.both_right, counts.only_a_right, counts.only_b_right, counts.both_wrong, counts.accuracy_difference)
        tested = (*pair.difference_ci95, pair.mcnemar_p, pair.holm_p, pair.verdict, pair.family, pair.provider)
        rows.append((pair.model_a, pair.model_b, *cells, *tested))
    return pd.DataFrame(rows, columns=list(PAIRS_COLUMNS))


def sample_rows(samples: Sequence[LatencySamples]) -> pd.DataFrame:
    """`latency_samples.csv.gz`: one row per call, in order: loading the session, the first call, warm-up, the timed ones."""
    import pandas as pd

    rows = []
    for s in samples:
        where = (s.model, s.provider, s.batch_size, s.threads, s.transfer, s.round, s.process)
        phases = (("load", [s.session_load_ms]), ("first", [s.first_run_ms]), ("warm-up", s.warmup_ms), ("timed", s.samples_ms))
        rows += [(*where, phase, call, ms) for phase, calls_ms in phases for call, ms in enumerate(calls_ms)]
    return pd.DataFrame(rows, columns=list(SAMPLES_COLUMNS))


def write_csv(frame: pd.DataFrame, path: Path | io.StringIO) -> None:
    """A CSV that `read_csv` reads back: numbers by `core.decimals.cell`, batch sizes whole, empty cells for what is missing."""
    shown = frame.copy()
    for column in shown.select_dtypes("float").columns:
        whole = column == "batch_size"  # the oracle has none, which makes the column one of floats
        shown[column] = ["" if value != value else f"{value:.0f}" if whole else cell(float(value)) for value in frame[column]]
    _change_words(shown, as_cell)
    shown.to_csv(path, index=False)


def as_stored(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as `read_csv` returns it, so that results are the same during the run and later, to the last digit."""
    stored = io.StringIO()
    write_csv(frame, stored)
    stored.seek(0)
    return read_csv(stored)


def read_csv(path: Path | io.StringIO) -> pd.DataFrame:
    """A table that `write_csv` wrote: names are text whatever they look like, only an empty cell is missing."""
    import pandas as pd

    frame = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values=[""])
    _change_words(frame, as_named)
    return frame


def _change_words(frame: pd.DataFrame, change: Callable[[Any], Any]) -> None:
    """Apply `change` to every text cell, in place; columns in which nothing changes keep their type."""
    for column in frame.columns.intersection(TEXT_COLUMNS):
        words = list(frame[column])
        changed = [change(word) for word in words]
        if any(new is not old for new, old in zip(changed, words, strict=True)):
            frame[column] = changed


def _facts(entry: Entry, accuracy: Accuracy, image_set: ImageSet) -> dict[str, Any]:
    return {
        "model": entry.name,
        "kind": entry.kind,
        "members": " ".join(entry.members),
        "backend": entry.backend,
        "precision": entry.precision,
        "top1_accuracy": accuracy.top1_accuracy,
        "top1_ci95_low": accuracy.top1_ci95[0],
        "top1_ci95_high": accuracy.top1_ci95[1],
        "macro_f1": accuracy.macro_f1,
        **accuracy.scores,
        "size_mb": entry.size_mb,
        "n_images": accuracy.n_images,
        "dataset": image_set.name,
        "dataset_sha256": image_set.sha256,
    }


def _timing(summary: LatencySummary, device_names: dict[str, str]) -> dict[str, Any]:
    return {
        "provider": summary.provider,
        "device_name": device_names[summary.provider],
        "batch_size": summary.batch_size,
        "latency_p50_ms": summary.p50_ms,
        "latency_p50_ci95_low_ms": summary.p50_ci95[0],
        "latency_p50_ci95_high_ms": summary.p50_ci95[1],
        "latency_p95_ms": summary.tails_ms[95],
        "latency_p99_ms": summary.tails_ms[99],
        "throughput_images_per_s": summary.throughput_images_per_s,
    }
