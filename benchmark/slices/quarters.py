"""Accuracy in each quarter of the images by brightness, contrast, sharpness and original size, and of each pair of models in it.

Whether a quarter is worse is decided by Fisher's exact test of right and wrong in it against the other images, Holm-corrected over
the quarters of one model. Two models in a quarter are compared by McNemar's exact test, corrected over all quarters and pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.records import Float64Array, Int32Array, UInt8Array
from core.statistics import difference_ci95, holm, mcnemar_p, paired_counts, wilson_ci95

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "property quarter lowest highest model model_b n_images accuracy accuracy_ci95_low accuracy_ci95_high difference "
    "difference_ci95_low difference_ci95_high p holm_p verdict"
).split()
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as Pillow's mode L
CHUNK = 256  # images at a time
SIZE = "original size"  # the shorter side, in pixels
ALPHA = 0.05
QUARTERS = ("lowest", "second", "third", "highest")
WORSE, NO_DIFFERENCE, BETTER = "worse", "no credible difference", "better"


def properties(images_u8: UInt8Array, original_sizes: Int32Array | None = None) -> dict[str, Float64Array]:
    """Brightness and contrast, mean and standard deviation of the luma, and sharpness, the variance of its Laplacian.

    With original_sizes also the shorter side of each in pixels. Each is (n_images,). images_u8: RGB (n_images, height,
    width, 3), at least 3 pixels a side for a sharpness that is not nan; original_sizes: height and width, (n_images, 2).
    """
    found: dict[str, list[NDArray[np.floating]]] = {"brightness": [], "contrast": [], "sharpness": []}
    for start in range(0, len(images_u8), CHUNK):
        luma = images_u8[start : start + CHUNK].astype(np.float32) @ np.array(LUMA, np.float32)
        found["brightness"].append(luma.mean(axis=(1, 2)))
        found["contrast"].append(luma.std(axis=(1, 2)))
        inner = luma[:, 1:-1, 1:-1]
        around = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
        found["sharpness"].append((around - 4 * inner).var(axis=(1, 2)) if inner.size else np.full(len(luma), np.nan))
    of_pixels = {name: np.concatenate(values).astype(np.float64) for name, values in found.items()}
    return of_pixels if original_sizes is None else {**of_pixels, SIZE: original_sizes.min(axis=1).astype(np.float64)}


def quarters(values: Float64Array) -> NDArray[np.int64]:
    """Which quarter each value is in, 0 to 3; equal values share one, so that quarters may differ in size or be empty."""
    return np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values, side="left")


def slice_rows(
    images_u8: UInt8Array, right: Mapping[str, NDArray[np.bool_]], original_sizes: Int32Array | None = None
) -> pd.DataFrame:
    """`slices.csv`: a row per quarter and model against the other images, and per quarter and pair of models.

    right: by model, whether it is right about each image, (n_images,). `difference`: accuracy in the quarter minus that of the
    other images, or model minus model_b in the quarter. original_sizes: as in `properties`; if all are equal, there are no such
    quarters.
    """
    import pandas as pd

    where = list(_slices(properties(images_u8, original_sizes)))
    alone = [row for model, values in right.items() for row in _corrected([_alone(*at, model, values) for at in where])]
    paired = [_pair(*at, a, b, right) for at in where for a, b in combinations(right, 2)]
    return pd.DataFrame([*alone, *_corrected(paired)], columns=list(COLUMNS))


def _slices(by_name: Mapping[str, Float64Array]) -> Iterator[tuple[dict[str, object], NDArray[np.bool_]]]:
    """The columns that name a quarter, and which images are in it; none for a property that is equal for all images."""
    for name, values in by_name.items():
        quarter = quarters(values)
        for index, spoken in enumerate(QUARTERS):
            inside = quarter == index
            if 0 < inside.sum() < len(inside):
                yield {"property": name, "quarter": spoken, "lowest": values[inside].min(), "highest": values[inside].max()}, inside


def _alone(names: dict[str, object], inside: NDArray[np.bool_], model: str, right: NDArray[np.bool_]) -> dict[str, object]:
    from scipy.stats import fisher_exact

    n_right, n_images = int(right[inside].sum()), int(inside.sum())
    rest_right, n_rest = int(right[~inside].sum()), int((~inside).sum())
    low, high = wilson_ci95(n_right, n_images)
    return {
        **names,
        "model": model,
        "n_images": n_images,
        "accuracy": n_right / n_images,
        "accuracy_ci95_low": low,
        "accuracy_ci95_high": high,
        "difference": n_right / n_images - rest_right / n_rest,
        "p": float(fisher_exact([[n_right, n_images - n_right], [rest_right, n_rest - rest_right]]).pvalue),
    }


def _pair(
    names: dict[str, object], inside: NDArray[np.bool_], a: str, b: str, right: Mapping[str, NDArray[np.bool_]]
) -> dict[str, object]:
    counts = paired_counts(right[a][inside], right[b][inside])
    low, high = difference_ci95(counts)
    return {
        **names,
        "model": a,
        "model_b": b,
        "n_images": int(inside.sum()),
        "difference": counts.accuracy_difference,
        "difference_ci95_low": low,
        "difference_ci95_high": high,
        "p": mcnemar_p(counts),
    }


def _corrected(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows of one question with Holm's p and the verdict."""
    adjusted: list[float] = holm([float(str(row["p"])) for row in rows]).tolist() if rows else []
    return [
        {**row, "holm_p": float(p), "verdict": _verdict(float(str(row["difference"])), float(p))}
        for row, p in zip(rows, adjusted, strict=True)
    ]


def _verdict(difference: float, p: float) -> str:
    return NO_DIFFERENCE if p >= ALPHA or not difference else BETTER if difference > 0 else WORSE
