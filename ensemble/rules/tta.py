"""`tta`: the mean of one network's probabilities for several views of each image (`ensemble.views`); nothing is tuned."""

from ensemble.rules.mixture import add_nodes, combine

__all__ = ["add_nodes", "combine"]
