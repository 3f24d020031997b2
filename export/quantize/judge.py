"""How a variant compares with its base on the same validation images: a paired test, and how far outputs moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.records import Float32Array, ImageSet, softmax
from core.statistics import PairedCounts, difference_ci95, mcnemar_p, paired_counts
from models.card import Parity
from models.parity import measure

ALPHA = 0.05
WORSE, BETTER, NO_DIFFERENCE = "credibly worse", "credibly better", "no credible difference"


@dataclass(frozen=True)
class Comparison:
    """Variant against base on `parity.n_images` images of `parity.split`; `parity` is between these two, not with a framework.

    counts: a is the variant, b its base; max_abs_probability_difference: over all images and classes; divergence: mean
    Kullback-Leibler divergence of the variant's probabilities from the base's, in nats.
    """

    parity: Parity
    counts: PairedCounts
    difference_ci95: tuple[float, float]
    mcnemar_p: float
    max_abs_probability_difference: float
    divergence: float

    @property
    def base_top1_accuracy(self) -> float:
        """Fraction of images on which the base is right."""
        return (self.counts.both_right + self.counts.only_b_right) / self.counts.n_images

    @property
    def top1_accuracy(self) -> float:
        """Fraction of images on which the variant is right."""
        return (self.counts.both_right + self.counts.only_a_right) / self.counts.n_images

    @property
    def verdict(self) -> str:
        """The verdict on the variant's accuracy at the 5 % level."""
        if self.mcnemar_p >= ALPHA:
            return NO_DIFFERENCE
        return BETTER if self.counts.accuracy_difference > 0 else WORSE


def compare(base: Float32Array, variant: Float32Array, image_set: ImageSet) -> Comparison:
    """The comparison of two sets of finite logits, (n_images, n_classes) each, of the images of `image_set`."""
    labels = image_set.labels
    base_labels, variant_labels = base.argmax(axis=1), variant.argmax(axis=1)
    counts = paired_counts(variant_labels == labels, base_labels == labels)
    p, q = softmax(base), softmax(variant)
    return Comparison(
        parity=measure(base, variant, image_set.split),
        counts=counts,
        difference_ci95=difference_ci95(counts),
        mcnemar_p=mcnemar_p(counts),
        max_abs_probability_difference=float(abs(p - q).max()),
        divergence=divergence(p, q),
    )


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of q from p over images, in nats; both (n_images, n_classes), rows sum to 1."""
    smallest = np.finfo(np.float64).tiny
    return float((p * (np.log(np.maximum(p, smallest)) - np.log(np.maximum(q, smallest)))).sum(axis=1).mean())
