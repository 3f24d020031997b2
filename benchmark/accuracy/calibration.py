"""Calibration before and after tuning, of every member and every ensemble, on validation and on the predicted split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.accuracy.metrics import expected_calibration_error, negative_log_likelihood
from core.records import Float32Array, Int64Array, Predictions
from ensemble.rules.combination import Combination, combination, combine
from ensemble.rules.fit import fit_temperature
from ensemble.rules.registry import DEFAULT, is_tuned

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

    A member's figures are of itself alone, at temperature 1 and at its best temperature, `temperature_alone`; an ensemble's
    before are those of the plain mean of its members. weight, temperature: what the rule uses; nan for the whole.
    validation: nan if the ensemble was not tuned.
    """

    ensemble: str
    rule: str
    member: str
    weight: float
    temperature: float
    temperature_alone: float
    validation: Figures
    predicted: Figures


@dataclass(frozen=True)
class Kept:
    """The predictions of one split by model, and its labels."""

    predictions: Mapping[str, Predictions]
    labels: Int64Array


def calibrate(
    ensembles: Mapping[str, tuple[Sequence[str], Combination]], predicted: Kept, tuned_on: Kept | None
) -> list[Calibration]:
    """A row for every ensemble, given by its members and how they are combined, and for each of its members."""
    return [row for name, (members, how) in ensembles.items() for row in _rows(name, members, how, predicted, tuned_on)]


def _rows(name: str, members: Sequence[str], how: Combination, predicted: Kept, tuned_on: Kept | None) -> list[Calibration]:
    tuned = tuned_on if is_tuned(how.rule) else None
    whole = _figures(members, combination(DEFAULT, len(members)), how, predicted, tuned)
    rows = [Calibration(name, how.rule, "", NAN, NAN, NAN, *whole)]
    for member, weight, temperature in zip(members, how.weights, how.temperatures, strict=True):
        alone = 1.0 if tuned is None else fit_temperature(tuned.predictions[member].logits, tuned.labels)
        before, after = Combination(DEFAULT, (1.0,), (1.0,)), Combination(DEFAULT, (1.0,), (alone,))
        own = _figures((member,), before, after, predicted, tuned)
        rows.append(Calibration(name, how.rule, member, weight, temperature, alone, *own))
    return rows


def _figures(
    members: Sequence[str], before: Combination, after: Combination, predicted: Kept, tuned: Kept | None
) -> tuple[Figures, Figures]:
    """Figures on validation and on the predicted split."""
    validation = Figures(NAN, NAN, NAN, NAN)
    if tuned is not None:
        validation = _measured(_logits(tuned.predictions, members), tuned.labels, before, after)
    return validation, _measured(_logits(predicted.predictions, members), predicted.labels, before, after)


def _logits(kept: Mapping[str, Predictions], members: Sequence[str]) -> list[Float32Array]:
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
    """One line per member or ensemble whose ECE on the predicted split became worse by tuning."""
    notes: dict[str, str] = {}
    for row in rows:
        if is_tuned(row.rule) and row.predicted.ece_after > row.predicted.ece_before:
            who = row.member or row.ensemble
            what = f"its own temperature {row.temperature_alone:.2f}" if row.member else "tuning, compared with the plain mean,"
            change = f"{row.predicted.ece_before:.4f} to {row.predicted.ece_after:.4f}"
            notes.setdefault(who, f"{who}: {what} makes {split} ECE worse, {change}")
    return list(notes.values())
