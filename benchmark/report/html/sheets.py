"""The tables of a page, each with its CSV to save, unless that is too long for a page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.accuracy import metrics
from benchmark.results import Results

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 120
MOST_CSV_BYTES = 300_000  # of one file; a longer one lies in the run folder only
_SHOWN = {
    "comparison.csv": (
        "Models",
        "model kind precision provider batch_size top1_accuracy top1_ci95_low top1_ci95_high macro_f1 {metrics} "
        "latency_p50_ms latency_p50_ci95_low_ms latency_p50_ci95_high_ms latency_p95_ms "
        "throughput_images_per_s size_mb on_pareto_front",
    ),
    "pairs.csv": (
        "Pairs: accuracy",
        "model_a model_b both_right only_a_right only_b_right both_wrong accuracy_difference difference_ci95_low "
        "difference_ci95_high mcnemar_p holm_p verdict family",
    ),
    "latency_pairs.csv": (
        "Pairs: speed",
        "model_a model_b provider batch_size transfer n_rounds p50_ratio ratio_ci95_low ratio_ci95_high sign_flip_p verdict",
    ),
    "per_class.csv": ("Classes", "model class_name precision recall recall_ci95_low recall_ci95_high f1 support"),
    "latency.csv": (
        "Latency",
        "model provider batch_size threads transfer n_processes n_samples session_load_ms first_run_ms p50_ms p50_ci95_low_ms "
        "p50_ci95_high_ms p90_ms p95_ms p99_ms throughput_images_per_s stability_note missing",
    ),
    "settings.csv": (
        "Instances × threads: which setting is best",
        "model provider batch_size instances threads n_rounds latency_p50_ms latency_p50_ci95_low_ms latency_p50_ci95_high_ms "
        "latency_p95_ms throughput_images_per_s throughput_ci95_low_images_per_s throughput_ci95_high_images_per_s latency_verdict "
        "throughput_verdict stability_note",
    ),
    "settings_pairs.csv": (
        "Instances × threads: pairs of settings",
        "model provider batch_size measure instances_a threads_a instances_b threads_b n_rounds ratio ratio_ci95_low "
        "ratio_ci95_high sign_flip_p verdict",
    ),
    "costs.csv": (
        "Costs",
        "model provider batch_size parameters gmacs size_mb session_load_ms peak_memory_mb energy_j_per_image "
        "throughput_images_per_s usd_per_million_images missing",
    ),
    "robustness_summary.csv": (
        "Corrupted images: what each model keeps",
        "model corruptions n_images uncorrupted_accuracy corrupted_accuracy corrupted_accuracy_ci95_low "
        "corrupted_accuracy_ci95_high corruption_drop corruption_drop_ci95_low corruption_drop_ci95_high baseline relative_error",
    ),
    "robustness_pairs.csv": (
        "Corrupted images: which model is more robust",
        "model_a model_b n_images difference difference_ci95_low difference_ci95_high p holm_p verdict family",
    ),
    "robustness.csv": (
        "Corrupted images: each corruption",
        "model corruption severity n_images accuracy accuracy_ci95_low accuracy_ci95_high",
    ),
    "flips.csv": (
        "Perturbed sequences: how often each answer flips",
        "model perturbation in_mean n_images n_frames compared_with flip_probability flip_probability_ci95_low "
        "flip_probability_ci95_high baseline flip_rate",
    ),
    "flips_pairs.csv": (
        "Perturbed sequences: which model flips less",
        "model_a model_b n_images difference difference_ci95_low difference_ci95_high p holm_p verdict family",
    ),
    "exclusions.csv": (
        "With and without images that were left out",
        "model left_out n_left_out n_images accuracy accuracy_ci95_low accuracy_ci95_high gain",
    ),
    "ood.csv": (
        "Own images against foreign ones",
        "model ood_data score n_images n_ood_images auroc auroc_ci95_low auroc_ci95_high threshold fpr_at_95 fpr_at_95_ci95_low "
        "fpr_at_95_ci95_high",
    ),
    "rejects.csv": (
        "Answering only where sure",
        "model max_error threshold n_validation_images validation_coverage validation_error n_answered n_wrong coverage "
        "coverage_ci95_low coverage_ci95_high error error_ci95_low error_ci95_high verdict error_bound",
    ),
    "slices.csv": (
        "Slices",
        "property quarter lowest highest model model_b n_images accuracy accuracy_ci95_low accuracy_ci95_high difference "
        "difference_ci95_low difference_ci95_high p holm_p verdict",
    ),
    "ensembles.csv": (
        "Ensembles: weights, temperatures, calibration",
        "ensemble rule member weight temperature nll_before nll_after ece_15bin_before ece_15bin_after",
    ),
    "confusion.csv": ("Confusions, the most frequent first", "model true_class predicted_class count"),
}


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and what its column is sorted by: a number, or the text itself."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Sheet:
    """One table. csv_base64: the whole file, empty if it is too long; n_rows: of the file, of which the first are shown."""

    title: str
    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    n_rows: int
    csv_base64: str


def sheets(run: Results) -> list[Sheet]:
    """The tables of a run that have rows, in the order of `_SHOWN`."""
    shown = []
    for file, (title, names) in _SHOWN.items():
        path = run.folder / file
        if not path.is_file():
            continue
        frame = getattr(run, file.removesuffix(".csv"))
        n_rows = len(frame)
        if file == "confusion.csv":
            frame = frame[frame["true_class"] != frame["predicted_class"]]
            frame = frame[frame["count"] > 0].sort_values("count", ascending=False, kind="stable")
        if frame.empty:
            continue
        listed = names.format(metrics=" ".join(metric.column for metric in metrics.METRICS))
        columns = tuple(name for name in listed.split() if name in frame)
        whole = base64.b64encode(path.read_bytes()).decode() if path.stat().st_size <= MOST_CSV_BYTES else ""
        shown.append(Sheet(title, file, columns, _cells(frame[list(columns)][:MOST_ROWS]), n_rows, whole))
    return shown


def _cells(frame: pd.DataFrame) -> tuple[tuple[Cell, ...], ...]:
    return tuple(tuple(_cell(value) for value in row) for row in frame.itertuples(index=False))


def _cell(value: Any) -> Cell:
    if value is None or value != value:
        return Cell("")
    if isinstance(value, str):
        return Cell(value)
    if isinstance(value, bool) or str(value) in ("True", "False"):
        return Cell("yes" if value else "no", float(value))
    number = float(value)
    return Cell(f"{number:.0f}" if number.is_integer() and abs(number) < 1e9 else f"{number:.4g}", number)
