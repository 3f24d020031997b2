"""The rules by name, the one list of them; no arithmetic is imported before a rule is used, so that `--help` stays quick.

A new rule is a file beside this one that offers what `ensemble.rules.combination.Arithmetic` says, and an entry here.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT = "mean"  # the rule that is meant if none is named
BY_HAND = "weighted"  # what the default rule is called once weights are given


@dataclass(frozen=True)
class Rule:
    """What is known of a rule without importing numpy.

    help: a few words for `--help`; module: its arithmetic, imported on first use; is_tuned: whether temperatures and weights
    are fitted on validation images; takes_weights: whether they may be given by hand instead; is_of_views: whether the members are
    one network on several views of the image (`ensemble.views`) instead of several networks.
    """

    help: str
    module: str
    is_tuned: bool
    takes_weights: bool
    is_of_views: bool = False


RULES = {
    "mean": Rule("of the probabilities (default)", "ensemble.rules.mean", is_tuned=False, takes_weights=True),
    "tta": Rule(
        "of one network on the image, its mirror and small shifts of both", "ensemble.rules.tta",
        is_tuned=False, takes_weights=False, is_of_views=True,
    ),
    "weighted": Rule(
        "temperatures and weights with the lowest validation NLL", "ensemble.rules.weighted", is_tuned=True, takes_weights=True
    ),
    "geometric": Rule(
        "the same for the product of the probabilities", "ensemble.rules.geometric", is_tuned=True, takes_weights=True
    ),
    "greedy": Rule(
        "members added one by one, usually not all", "ensemble.rules.greedy", is_tuned=True, takes_weights=False
    ),
}  # fmt: skip


def tuned_rules() -> list[str]:
    """Names of the rules that are fitted on validation images."""
    return [name for name, rule in RULES.items() if rule.is_tuned]


def untuned_rules() -> list[str]:
    """Names of the rules for several networks that need no data."""
    return [name for name, rule in RULES.items() if not rule.is_tuned and not rule.is_of_views]


def view_rules() -> list[str]:
    """Names of the rules for one network alone."""
    return [name for name, rule in RULES.items() if rule.is_of_views]


def is_tuned(rule: str) -> bool:
    """Whether the rule of that name is fitted on validation images."""
    return RULES[rule].is_tuned
