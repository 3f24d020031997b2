"""A rule that is not ours, as a stranger would write its file: the largest of the members' probabilities, made to sum to 1."""

import numpy as np

from core.records import softmax
from ensemble.rules.combination import Combination
from ensemble.rules.mixture import add_log, log_probabilities, tempered, tempered_probabilities
from models.graph.join import add_node


def combine(how, member_logits):
    at_temperature = tempered(member_logits, how.temperatures)
    largest = np.max([softmax(at_temperature[index]) for index in how.contributing], axis=0)
    probabilities = largest / largest.sum(axis=1, keepdims=True)
    return log_probabilities(probabilities), probabilities


def add_nodes(graph, how, members, whole):
    from onnx import helper

    graph.initializer.append(helper.make_tensor("ensemble_last", 7, [1], [-1]))  # int64
    add_node(graph, "Max", [tempered_probabilities(graph, how, members, index) for index in how.contributing], "ensemble_largest")
    add_node(graph, "ReduceSum", ["ensemble_largest", "ensemble_last"], "ensemble_total")
    add_node(graph, "Div", ["ensemble_largest", "ensemble_total"], whole.probabilities)
    add_log(graph, whole)


def fit(member_logits, labels, own):
    """Where the rule is registered as a tuned one: all members, each at its own temperature."""
    return [Combination("largest", (1.0,) * len(own), tuple(own))]
