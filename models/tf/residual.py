"""Where the residual blocks of a network end: the normalisations behind which a block's change meets its input.

Twin of `models.torch.residual`.
"""

from __future__ import annotations

import keras

from models.tf.resnet import Block

NORMALISED = keras.layers.BatchNormalization
PROJECTING = (keras.layers.Conv2D, NORMALISED)


def residual_blocks(model: keras.Model) -> list[tuple[keras.layers.Layer, keras.layers.BatchNormalization]]:
    """Every residual block of `model`, or the addition that ends it, with the batch normalisation that its change passes last.

    In keras.applications a block is an addition of two branches of which one, the change, comes out of a normalisation, and the
    other is what the change was computed from, or that convolved and normalised. Cells that add other things are none.
    """
    found = []
    for layer in model._flatten_layers():
        if isinstance(layer, Block):
            found.append((layer, layer.bn2))
        elif isinstance(layer, keras.layers.Add):
            last = _last_of_change(layer)
            if last is not None and last.scale and last.trainable:
                found.append((layer, last))
    return found


def _last_of_change(addition: keras.layers.Add) -> keras.layers.BatchNormalization | None:
    branches = _sources(addition)
    if len(branches) != 2:
        return None
    for change, shortcut in (branches, branches[::-1]):
        last = change
        while isinstance(last, keras.layers.Dropout) and _sources(last):  # as stochastic depth has it
            (last,) = _sources(last)
        start = shortcut
        for kind in reversed(PROJECTING):  # a shortcut that is itself a block's end is found unprojected
            if start not in _above(last) and isinstance(start, kind) and _sources(start):
                (start,) = _sources(start)
        if isinstance(last, NORMALISED) and start in _above(last):
            return last
    return None


def _sources(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers whose outputs a layer takes, where the network was built of it."""
    return [node.operation for node in layer._inbound_nodes[0].parent_nodes] if layer._inbound_nodes else []


def _above(layer: keras.layers.Layer) -> set[keras.layers.Layer]:
    """Every layer that comes before this one."""
    found: set[keras.layers.Layer] = set()
    waiting = [layer]
    while waiting:
        new = set(_sources(waiting.pop())) - found
        found |= new
        waiting.extend(new)
    return found
