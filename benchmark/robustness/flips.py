"""`flips.csv` and `flips_pairs.csv`: how often a model changes its answer while an image changes a little, compared by pairs.

The flip probability of a perturbation is the share of frames whose predicted class differs from that of the frame before, or, for
noise, of the first frame. Its mean over the perturbations is mFP; the flip rate is relative to a baseline's, and the mean of the
flip rates is mFR (Hendrycks and Dietterich, 2019). The unit is the image: all frames of one are drawn together by the bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from benchmark.accuracy.pairs import NO_DIFFERENCE
from benchmark.robustness.table import PAIRS_COLUMNS, bootstrap_pairs, intervals, resampled_means
from core.decimals import p_words, signed
from core.records import Float64Array, Int64Array
from data.corruptions.sequences import is_noise

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "model perturbation in_mean n_images n_frames compared_with flip_probability flip_probability_ci95_low "
    "flip_probability_ci95_high baseline flip_rate"
).split()
MEAN = "mean"
LESS_OFTEN, MORE_OFTEN = "flips less", "flips more"
PREVIOUS, FIRST = "previous frame", "first frame"
MOST_SENTENCES = 3


@dataclass(frozen=True)
class Flips:
    """How often the models' answers flip.

    shares: per image, the share of frames with a flip, (n_images,), by model and perturbation.
    counted: the perturbations that means are over; baseline: the model that flip rates are relative to; n_frames: per sequence, by
    perturbation.
    """

    counted: tuple[str, ...]
    baseline: str
    n_frames: Mapping[str, int]
    shares: Mapping[str, dict[str, Float64Array]] = field(default_factory=dict)

    def per_image(self, model: str) -> Float64Array:
        """The mean over the counted perturbations, (n_images,)."""
        return np.asarray(np.mean([self.shares[model][name] for name in self.counted], axis=0), dtype=np.float64)


def flip_shares(predicted: Int64Array, perturbation: str) -> Float64Array:
    """The share of frames after the first that differ from the one compared with, (n_images,); predicted: (n_images, n_frames)."""
    before = predicted[:, :1] if is_noise(perturbation) else predicted[:, :-1]
    return np.asarray((predicted[:, 1:] != before).mean(axis=1), dtype=np.float64)


def flip_rows(found: Flips) -> pd.DataFrame:
    """A row per model and perturbation, and one for the mean over the counted: flip_probability is mFP there, flip_rate mFR."""
    import pandas as pd

    values = {(model, name): share for model, by_name in found.shares.items() for name, share in by_name.items()}
    values |= {(model, MEAN): found.per_image(model) for model in found.shares}
    ci95 = intervals(resampled_means({"\n".join(key): value for key, value in values.items()}))
    rows = []
    for model, by_name in found.shares.items():
        rates = {name: _over(share.mean(), found.shares[found.baseline][name].mean()) for name, share in by_name.items()}
        rates[MEAN] = float(np.mean([rates[name] for name in found.counted]))
        for name in (*by_name, MEAN):
            share, is_mean = values[model, name], name == MEAN
            compared = "" if is_mean else FIRST if is_noise(name) else PREVIOUS
            what = (model, name, int(name in found.counted), len(share), found.n_frames.get(name, np.nan), compared)
            rows.append((*what, share.mean(), *ci95[f"{model}\n{name}"], found.baseline, rates[name]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def flip_pairs(found: Flips, singles: Sequence[str], ensembles: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A row per pair: the difference of their mean flip probabilities, and whether model_a flips less.

    Bootstrap, correction and families are those of `robustness_pairs`; the best model is the one that flips least.
    """
    import pandas as pd

    steady = {model: 1 - found.per_image(model) for model in found.shares}
    rows = []
    for a, b, n_images, more, low, high, *rest in bootstrap_pairs(steady, singles, ensembles, (LESS_OFTEN, MORE_OFTEN)):
        rows.append((a, b, n_images, -more, -high, -low, *rest))
    return pd.DataFrame(rows, columns=list(PAIRS_COLUMNS))


def flip_sentences(flips: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    """The verdicts of the first pairs in words; empty for a single model or without sequences."""
    means = flips[flips["perturbation"] == MEAN].set_index("model")["flip_probability"]
    said = []
    for _, pair in pairs[:MOST_SENTENCES].iterrows():
        a, b = pair["model_a"], pair["model_b"]
        points = f"{signed(100 * pair['difference'], 2)} points, {p_words(pair['holm_p'])}"
        figures = f"{100 * means[a]:.2f} % against {100 * means[b]:.2f} % of the frames ({points})"
        words = f"{a} {pair['verdict']} than {b}" if pair["verdict"] != NO_DIFFERENCE else f"{a} and {b} differ in no credible way"
        said.append(f"flips: {words}, {figures}")
    return said


def _over(share: float, of_baseline: float) -> float:
    """The flip rate; nan if the baseline never flips."""
    return float(share / of_baseline) if of_baseline else float("nan")
