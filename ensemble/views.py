"""Test-time augmentation: one network on several views of each image (mirrored, shifted), as members of an ensemble of its own.

Views as in airbench (Jordan, 2024): the image and its mirror, each as it is and shifted by a pixel (of 32) towards two opposite
corners; what a shift uncovers repeats the edge. Mirrored text, digits and signs mean something else: there it may cost accuracy.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.console import progress
from core.records import Float32Array, UInt8Array
from models.graph.contract import IMAGES
from models.graph.names import PREFIX
from models.graph.surgery import rename_inputs
from models.runtimes.opening import open_file
from models.runtimes.registry import CPU

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

    from ensemble.fuse import LoadedMember

SIDE = 32  # pixels of the shorter side for each pixel of shift


class View(NamedTuple):
    """Whether the image is mirrored, and how many steps it is then shifted to the right and downwards."""

    mirrored: bool
    steps: int


VIEWS = tuple(View(mirrored, steps) for steps in (0, -1, 1) for mirrored in (False, True))


def seen(images_u8: UInt8Array, view: View) -> UInt8Array:
    """The images, (n_images, height, width, 3), as a view shows them; the reference of `view_model`."""
    images_u8 = images_u8[:, :, ::-1] if view.mirrored else images_u8
    height, width = images_u8.shape[1:3]
    step = view.steps * _step_px(height, width)
    rows, columns = (np.clip(np.arange(side) - step, 0, side - 1) for side in (height, width))
    return np.ascontiguousarray(images_u8[:, rows][:, :, columns])


def view_logits(path: Path, images_u8: UInt8Array, provider: str = CPU, threads: int | None = None) -> list[Float32Array]:
    """The logits of a file, (n_images, n_classes), for each view of the images."""
    opened = open_file(path, provider, threads)
    logits = []
    with progress() as display:
        task = display.add_task(f"{path.stem}, views", total=len(VIEWS) * len(images_u8))
        for view in VIEWS:
            prediction = opened.predicted(seen(images_u8, view), None, lambda n: display.advance(task, n))
            logits.append(prediction.outputs.logits)
    return logits


def _step_px(height: int, width: int) -> int:
    return max(1, round(min(height, width) / SIDE))


def view_members(member: LoadedMember) -> list[LoadedMember]:
    """A network as one member per view, in the order of `VIEWS`."""
    size = member.card.image_height, member.card.image_width
    return [replace(member, model=view_model(member.model, view, *size)) for view in VIEWS]


def view_model(model: ModelProto, view: View, height: int, width: int) -> ModelProto:
    """A contract model that gives for images what `model` gives for `seen(images, view)`; part of its preprocessing.

    Indexing alone, which keeps uint8: as one Gather for columns, mirror included, and one for rows.
    """
    from onnx import ModelProto

    changed = ModelProto()
    changed.CopyFrom(model)
    if view == VIEWS[0]:
        return changed
    step = view.steps * _step_px(height, width)
    rows, columns = (np.clip(np.arange(side) - step, 0, side - 1) for side in (height, width))
    columns = width - 1 - columns if view.mirrored else columns
    last = IMAGES
    graph, nodes = changed.graph, list(changed.graph.node)
    del graph.node[:]
    for axis, places in ((1, rows), (2, columns)):
        if view.steps or axis == 2:
            last = _add_gather(graph, last, places, axis, f"{PREFIX}view_{view.steps}_{int(view.mirrored)}_{axis}")
    for node in nodes:
        rename_inputs(node, {IMAGES: last})
    graph.node.extend(nodes)
    return changed


def _add_gather(graph: GraphProto, source: str, places: np.ndarray, axis: int, name: str) -> str:
    from onnx import helper, numpy_helper

    graph.initializer.append(numpy_helper.from_array(places.astype(np.int64), f"{name}_places"))
    graph.node.append(helper.make_node("Gather", [source, f"{name}_places"], [name], name=name, axis=axis))
    return name
