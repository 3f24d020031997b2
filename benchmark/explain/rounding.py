"""Where an INT8 file rounds most: each activation before and after its rounding, by ONNX Runtime's `qdq_loss_debug`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError, one_line
from core.records import UInt8Array
from models.graph.contract import IMAGES

if TYPE_CHECKING:
    import pandas as pd
    from onnx import ModelProto

    from core.records import Split
    from models.card import ModelCard

COLUMNS = "rank tensor taken_by signal_to_noise_db".split()
N_IMAGES = 64
BATCH = 8  # images whose activations are all in memory at once
MOST_SAID = 3


def is_rounded(model: ModelProto) -> bool:
    """Whether the graph rounds activations."""
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def images_for_rounding(card: ModelCard, data: str | None, data_dir: Path | None) -> tuple[UInt8Array, list[str]]:
    """A few validation images of the model's data set, or noise if these would need a download, and a note."""
    from data.matching import open_matching, why_absent
    from data.splits import spread

    trained = card.trained()
    reason = why_absent(trained, data, data_dir)
    if reason is None:
        dataset = open_matching([trained], data, data_dir)
        split: Split = "validation" if "train" in dataset.available else "test"
        image_set = dataset.split(split, card.split_seed)
        chosen = image_set.take(spread(len(image_set), N_IMAGES))
        return chosen.images_u8, [f"rounding was measured on {len(chosen)} {split} images of {dataset.name}"]
    shape = (N_IMAGES, card.image_height, card.image_width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return noise, [f"rounding was measured on noise: {reason}"]


def rounding_rows(path: Path, model: ModelProto, images_u8: UInt8Array) -> pd.DataFrame:
    """`rounding.csv`: every rounded activation, the noisiest first, and the nodes that take it.

    Signal to noise is 20 · log10(‖x‖ / ‖x - rounded x‖), in dB, over all images; x is taken after its ReLU if it has one.
    Raises UserError if ONNX Runtime cannot measure it.
    """
    import pandas as pd
    from onnxruntime.quantization import qdq_loss_debug

    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.onnx"
        try:
            qdq_loss_debug.modify_model_output_intermediate_tensors(path, told)
            values = qdq_loss_debug.collect_activations(str(told), _batches(images_u8))
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise UserError(f"{path}: cannot measure its rounding ({one_line(error, 120)}); add --traceback for more") from error
    takers = _takers(model)
    rows = []
    for before, after, from_zero in _rounded(model):
        if before in values and after in values:
            exact = [np.maximum(part, 0) for part in values[before]] if from_zero else values[before]
            ratio = qdq_loss_debug.compute_signal_to_quantization_noice_ratio(exact, values[after])
            rows.append((before, ", ".join(takers.get(after, [])), float(ratio)))
    rows.sort(key=lambda row: row[2])
    return pd.DataFrame([(rank, *row) for rank, row in enumerate(rows, start=1)], columns=list(COLUMNS))


def rounding_sentences(rows: pd.DataFrame) -> list[str]:
    """The noisiest activations in words."""
    return [
        f"rounded most: {row['tensor']}, {row['signal_to_noise_db']:.1f} dB above its noise, into {row['taken_by'] or 'an output'}"
        for _, row in rows[:MOST_SAID].iterrows()
    ]


def _rounded(model: ModelProto) -> Iterator[tuple[str, str, bool]]:
    """The tensor before and after each rounding, and whether its range begins at 0: such a range replaces a ReLU."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    quantised = {node.output[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in quantised:
            rounding = quantised[node.input[0]]
            zero = constants.get(rounding.input[2]) if len(rounding.input) > 2 else None
            yield rounding.input[0], node.output[0], zero is not None and not numpy_helper.to_array(zero).any()


def _takers(model: ModelProto) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            found.setdefault(name, []).append(node.name)
    return found


def _batches(images_u8: UInt8Array) -> Any:
    return ({IMAGES: images_u8[start : start + BATCH]} for start in range(0, len(images_u8), BATCH))
