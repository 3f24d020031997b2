"""`mean`: the plain mean of the members' probabilities; nothing is tuned."""

from ensemble.rules.mixture import add_nodes, combine

__all__ = ["add_nodes", "combine"]
