"""What `python -m export.quantize` writes besides ONNX files: a table and one line per variant, `quantize.csv` and `run.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.decimals import cell
from core.environment import environment
from core.files import write_csv, write_json
from export.quantize.judge import WORSE
from export.quantize.variant import Variant
from export.report import Failed


def rows(variants: Sequence[Variant]) -> list[dict[str, str]]:
    """One row of `quantize.csv` per variant, significant digits, fractions in [0, 1]."""
    return [_row(variant) for variant in variants]


def _row(variant: Variant) -> dict[str, str]:
    comparison = variant.comparison
    low, high = comparison.difference_ci95
    values: dict[str, str | float] = {
        "model": variant.target.stem,
        "base": variant.source.stem,
        "precision": variant.precision,
        "dataset": variant.base.dataset,
        "file": variant.target.name,
        "size_mb": variant.size_mb,
        "base_size_mb": variant.base_size_mb,
        "calibration": variant.calibration,
        "n_calibration_images": str(variant.n_calibration_images),
        "split": comparison.parity.split,
        "n_images": str(comparison.parity.n_images),
        "base_top1_accuracy": comparison.base_top1_accuracy,
        "top1_accuracy": comparison.top1_accuracy,
        "accuracy_difference": comparison.counts.accuracy_difference,
        "difference_ci95_low": low,
        "difference_ci95_high": high,
        "mcnemar_p": comparison.mcnemar_p,
        "verdict": comparison.verdict,
        "equal_labels": comparison.parity.equal_labels,
        "max_abs_logit_difference": comparison.parity.max_abs_logit_difference,
        "max_abs_probability_difference": comparison.max_abs_probability_difference,
        "divergence_nats": comparison.divergence,
        "elapsed_s": f"{variant.elapsed_s:.2f}",
        "n_float_layers": str(len(variant.float_layers)),
    }
    return {name: value if isinstance(value, str) else cell(value) for name, value in values.items()}


def _layer_rows(variants: Sequence[Variant]) -> list[dict[str, str]]:
    """A row of `quantize_layers.csv` for each quantised layer, the one that costs most first."""
    return [
        {
            "model": variant.target.stem,
            "layer": one.layer,
            "operator": one.operator,
            "divergence_gain_nats": cell(one.gain_nats),
            "precision": "fp32" if one.layer in variant.float_layers else variant.precision,
        }
        for variant in variants
        for one in variant.layer_losses
    ]


def fill_run(folder: Path, outcomes: Sequence[Variant | Failed], arguments: Sequence[str], notes: Sequence[str]) -> None:
    """Write `quantize.csv` and `run.json` into a run folder."""
    variants = [outcome for outcome in outcomes if isinstance(outcome, Variant)]
    table = rows(variants)
    write_csv(folder / "quantize.csv", list(table[0]), (row.values() for row in table))
    layers = _layer_rows(variants)
    if layers:
        write_csv(folder / "quantize_layers.csv", list(layers[0]), (row.values() for row in layers))
    run = {
        "what": "quantize",
        "arguments": list(arguments),
        "calibration_divergences": {variant.target.stem: variant.divergences for variant in variants},
        "failed": {str(one.source): one.reason for one in outcomes if isinstance(one, Failed)},
        "notes": list(notes),
        "environment": environment(),
    }
    write_json(folder / "run.json", run)


def print_report(variants: Sequence[Variant], notes: Sequence[str], folder: Path) -> None:
    """The table for people, a verdict in words per variant, notes, and where the run is; all on stdout."""
    from rich.table import Table

    from core.console import output_console, print_lines

    table = Table()
    table.add_column("variant", overflow="fold")
    for title in ("MB", "top-1 % base", "variant", "points (95 %)", "McNemar p", "max |Δlogit|", "max |Δp|", "equal labels %"):
        table.add_column(title, justify="right")
    for one in variants:
        comparison = one.comparison
        low, high = comparison.difference_ci95
        table.add_row(
            one.target.stem,
            f"{one.base_size_mb:.1f} → {one.size_mb:.1f}",
            f"{100 * comparison.base_top1_accuracy:.2f}",
            f"{100 * comparison.top1_accuracy:.2f}",
            f"{100 * comparison.counts.accuracy_difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})",
            f"{comparison.mcnemar_p:.2g}",
            f"{comparison.parity.max_abs_logit_difference:.2g}",
            f"{comparison.max_abs_probability_difference:.2g}",
            f"{100 * comparison.parity.equal_labels:.2f}",
        )
    screen = output_console()
    screen.print(table)
    for one in variants:
        print_lines([_sentence(one)], style="bold red" if one.comparison.verdict == WORSE else None)
    for note in notes:
        print_lines([f"note: {note}"], style="dim")
    print_lines([f"run: {folder}"])


def _sentence(variant: Variant) -> str:
    """The conclusion about one variant, in one sentence."""
    comparison = variant.comparison
    where = f"on {comparison.parity.n_images} {comparison.parity.split} images"
    verdicts = {
        WORSE: f"CREDIBLY WORSE than {variant.source.stem} {where}; do not deploy it, or calibrate on more --images",
    }
    verdict = verdicts.get(comparison.verdict, f"{comparison.verdict} in accuracy from {variant.source.stem} {where}")
    return f"{variant.target}: {verdict}{_calibrated(variant)}{_put_back(variant)}"


def _put_back(variant: Variant) -> str:
    if not variant.layer_losses:
        return ""
    if not variant.float_layers:
        return "; no layer had to go back to float32"
    return f"; of {len(variant.layer_losses)} layers in float32: {', '.join(variant.float_layers)}"


def _calibrated(variant: Variant) -> str:
    if not variant.calibration:
        return ""
    return f"; calibrated by {variant.calibration} on {variant.n_calibration_images} train images"
