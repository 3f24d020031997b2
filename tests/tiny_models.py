"""Small contract models for the tests of every room: real graphs with random weights, made without any framework."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.card import ModelCard, Preprocessing
from models.graph.contract import IR_VERSION, OPSET, save_model
from models.graph.wrap import wrap

if TYPE_CHECKING:
    from onnx import ModelProto

CHANNELS = 16


def tiny_card(
    name: str = "tiny",
    *,
    n_classes: int = 3,
    image_height: int = 8,
    image_width: int = 8,
    input_size: int | None = None,
    class_names: Sequence[str] | None = None,
    dataset: str = "digits",
    dataset_sha256: dict[str, str] | None = None,
    layout: str = "nchw",
    backend: str = "torch",
    seed: int = 0,
    mean: tuple[float, float, float] = (0.5, 0.4, 0.3),
    std: tuple[float, float, float] = (0.25, 0.2, 0.3),
) -> ModelCard:
    """A card for a made-up model: classes `class_0`, …, and a fingerprint made of the data set's name unless given."""
    made_up = {split: hashlib.sha256(f"{dataset} {split}".encode()).hexdigest() for split in ("train", "test")}
    return ModelCard(
        name=name,
        backend=backend,
        architecture="tiny",
        class_names=tuple(class_names) if class_names else tuple(f"class_{index}" for index in range(n_classes)),
        dataset=dataset,
        dataset_sha256=made_up if dataset_sha256 is None else dict(dataset_sha256),
        image_height=image_height,
        image_width=image_width,
        split_seed=0,
        seed=seed,
        preprocessing=Preprocessing(input_size or min(image_height, image_width), mean, std, layout),
    )


def tiny_core(
    n_classes: int, size: int, *, seed: int = 0, layout: str = "nchw", extra_work: int = 0, temperature: float = 1.0
) -> ModelProto:
    """Convolution, ReLU, global average, matrix product with random weights by `seed`; logits are divided by `temperature`.

    extra_work: that many convolutions more, each of which returns its input unchanged, so that only the latency grows.
    """
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(seed)
    constants = {
        "conv_weight": random.normal(0, 0.5, (CHANNELS, 3, 3, 3)),
        "conv_bias": random.normal(0, 0.5, CHANNELS),
        "gemm_weight": random.normal(0, 2, (CHANNELS, n_classes)) / temperature,
        "gemm_bias": random.normal(0, 0.1, n_classes) / temperature,
    }
    batch = "N"  # a name of the core's own: the contract must replace it
    shape = [batch, 3, size, size] if layout == "nchw" else [batch, size, size, 3]
    first = [] if layout == "nchw" else [helper.make_node("Transpose", ["input"], ["as_nchw"], perm=[0, 3, 1, 2])]
    nodes = [
        *first,
        helper.make_node(
            "Conv", [first[0].output[0] if first else "input", "conv_weight", "conv_bias"], ["conv"], pads=[1, 1, 1, 1]
        ),
        helper.make_node("Relu", ["conv"], ["features_0"]),
    ]
    if extra_work:
        unchanged = np.zeros((CHANNELS, CHANNELS, 3, 3))
        unchanged[np.arange(CHANNELS), np.arange(CHANNELS), 1, 1] = 1
        constants["unchanged"] = unchanged
    for step in range(extra_work):
        nodes.append(helper.make_node("Conv", [f"features_{step}", "unchanged"], [f"features_{step + 1}"], pads=[1, 1, 1, 1]))
    nodes += [
        helper.make_node("GlobalAveragePool", [f"features_{extra_work}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "gemm_weight", "gemm_bias"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, n_classes])],
        initializer=[numpy_helper.from_array(values.astype(np.float32), name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def write_tiny_model(
    path: Path,
    *,
    name: str | None = None,
    seed: int = 0,
    n_classes: int = 3,
    image_height: int = 8,
    image_width: int = 8,
    input_size: int | None = None,
    class_names: Sequence[str] | None = None,
    dataset: str = "digits",
    dataset_sha256: dict[str, str] | None = None,
    layout: str = "nchw",
    backend: str = "torch",
    extra_work: int = 0,
    temperature: float = 1.0,
) -> Path:
    """Write a contract model to `path`, named after the file unless `name` is given; returns `path`."""
    card = tiny_card(
        name or path.stem,
        seed=seed,
        n_classes=n_classes,
        image_height=image_height,
        image_width=image_width,
        input_size=input_size,
        class_names=class_names,
        dataset=dataset,
        dataset_sha256=dataset_sha256,
        layout=layout,
        backend=backend,
    )
    assert card.preprocessing is not None
    size = card.preprocessing.input_size
    core = tiny_core(len(card.class_names), size, seed=seed, layout=layout, extra_work=extra_work, temperature=temperature)
    save_model(wrap(core, card), card, path)
    return path
