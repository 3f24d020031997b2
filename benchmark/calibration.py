"""Calibration before and after tuning, of every member and every ensemble, on validation and on the predicted split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.accuracy import expected_calibration_error, negative_log_likelihood
from benchmark.findings import Ensemble, Findings
from core.records import Float32Array, Int64Array, Predictions
from ensemble.fit import fit_temperature
from ensemble.rules import TUNED_RULES, Combination, combination, combine

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "ensemble rule member weight temperature temperature_alone validation_nll_before validation_nll_after "
    "validation_ece_15bin_before validation_ece_15bin_after nll_before nll_after ece_15bin_before ece_15bin_after"
).split()
NAN = float("nan")


@dataclass(frozen=True)
class Figures:
    """NLL in nats and ECE, before and after."""

    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float


@dataclass(frozen=True)
class Calibration:
    """One row of `ensembles.csv`: a member of an ensemble, or with an empty `member` the ensemble as a whole.

    A member's figures are its own, at temperature 1 and at `temperature_alone`, the best for it by itself; an ensemble's
    before are those of the plain mean of its members. weight, temperature: what the rule uses; nan for the whole.
    validation: nan where the ensemble was not tuned.
    """

    ensemble: str
    rule: str
    member: str
    weight: float
    temperature: float
    temperature_alone: float
    validation: Figures
    predicted: Figures


def calibrate(findings: Findings) -> list[Calibration]:
    """A row for every ensemble and each of its members."""
    return [row for name, ensemble in findings.ensembles.items() for row in _rows(findings, name, ensemble)]


def _rows(findings: Findings, name: str, ensemble: Ensemble) -> list[Calibration]:
    how, members = ensemble.how, ensemble.members
    tuned = how.rule in TUNED_RULES and findings.tuned_on is not None
    plain = combination("mean", len(members))
    whole = _figures(findings, members, plain, how, tuned)
    rows = [Calibration(name, how.rule, "", NAN, NAN, NAN, *whole)]
    for member, weight, temperature in zip(members, how.weights, how.temperatures, strict=True):
        alone = (
            fit_temperature(findings.validation[member].logits, findings.tuned_on.labels) if findings.tuned_on and tuned else 1.0
        )
        before, after = Combination("mean", (1.0,), (1.0,)), Combination("mean", (1.0,), (alone,))
        own = _figures(findings, (member,), before, after, tuned)
        rows.append(Calibration(name, how.rule, member, weight, temperature, alone, *own))
    return rows


def _figures(
    findings: Findings, members: Sequence[str], before: Combination, after: Combination, tuned: bool
) -> tuple[Figures, Figures]:
    """Figures on validation and on the predicted split."""
    validation = Figures(NAN, NAN, NAN, NAN)
    if tuned and findings.tuned_on is not None:
        validation = _measured(_logits(findings.validation, members), findings.tuned_on.labels, before, after)
    return validation, _measured(_logits(findings.predictions, members), findings.image_set.labels, before, after)


def _logits(kept: dict[str, Predictions], members: Sequence[str]) -> list[Float32Array]:
    return [kept[member].logits for member in members]


def _measured(logits: Sequence[Float32Array], labels: Int64Array, before: Combination, after: Combination) -> Figures:
    old, new = combine(before, logits)[1], combine(after, logits)[1]
    return Figures(
        negative_log_likelihood(old, labels),
        negative_log_likelihood(new, labels),
        expected_calibration_error(old, labels),
        expected_calibration_error(new, labels),
    )


def calibration_rows(rows: Sequence[Calibration]) -> pd.DataFrame:
    """`ensembles.csv`."""
    import pandas as pd

    cells = []
    for row in rows:
        figures = [f for on in (row.validation, row.predicted) for f in (on.nll_before, on.nll_after, on.ece_before, on.ece_after)]
        cells.append((row.ensemble, row.rule, row.member, row.weight, row.temperature, row.temperature_alone, *figures))
    return pd.DataFrame(cells, columns=list(COLUMNS))


def worse_calibrated(rows: Sequence[Calibration], split: str) -> list[str]:
    """A line for each member and each ensemble whose ECE on the predicted split tuning made worse."""
    told: dict[str, str] = {}
    for row in rows:
        if row.rule in TUNED_RULES and row.predicted.ece_after > row.predicted.ece_before:
            who = row.member or row.ensemble
            what = f"its own temperature {row.temperature_alone:.2f}" if row.member else "tuning, held against the plain mean,"
            change = f"{row.predicted.ece_before:.4f} to {row.predicted.ece_after:.4f}"
            told.setdefault(who, f"{who}: {what} makes {split} ECE worse, {change}")
    return list(told.values())
