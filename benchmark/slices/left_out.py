"""Accuracy with and without the images that `--exclude` leaves out: how much each list changes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.findings import Findings
from benchmark.images import LeftOut
from benchmark.robustness.predict import said_of
from core.statistics import wilson_ci95

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = "model left_out n_left_out n_images accuracy accuracy_ci95_low accuracy_ci95_high gain".split()
NOTHING = "nothing"

Right = NDArray[np.bool_]


def predict_left_out(findings: Findings, left_out: LeftOut) -> dict[str, Right]:
    """For each model and ensemble that can be run, whether it is right about each image that was left out, (n_images,)."""
    logits = said_of(findings, left_out.images, "left-out images")
    return {name: values.argmax(axis=1) == left_out.images.labels for name, values in logits.items()}


def exclusion_rows(left_out: LeftOut, right: Mapping[str, Right], right_of_left_out: Mapping[str, Right]) -> pd.DataFrame:
    """`exclusions.csv`: for each model a row with every image, a row without those of each reason, and one without all of them.

    right: about the images that are judged; right_of_left_out: about the others. `gain`: accuracy minus that with every image.
    """
    import pandas as pd

    rows = []
    for model, of_left_out in right_of_left_out.items():
        kept, with_all = right[model], float(np.concatenate([right[model], of_left_out]).mean())
        for reason, out in _reasons(left_out.by_reason):
            judged = np.concatenate([kept, of_left_out[~out]])
            low, high = wilson_ci95(int(judged.sum()), len(judged))
            accuracy = float(judged.mean())
            rows.append([model, reason, int(out.sum()), len(judged), accuracy, low, high, accuracy - with_all])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _reasons(by_reason: Mapping[str, Right]) -> Iterator[tuple[str, Right]]:
    """Each row's reason, in words, and which of the left-out images it leaves out."""
    masks: Sequence[Right] = list(by_reason.values())
    yield NOTHING, np.zeros_like(masks[0])
    yield from by_reason.items()
    if len(masks) > 1:
        yield " + ".join(by_reason), np.any(masks, axis=0)
