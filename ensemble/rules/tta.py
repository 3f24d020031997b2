"""`tta`: the mean of what one network says of several views of each image (`ensemble.views`); nothing is tuned."""

from ensemble.rules.mixture import add_nodes, combine

__all__ = ["add_nodes", "combine"]
