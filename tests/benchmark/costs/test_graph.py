"""Parameters and multiplications of graphs, against figures worked by hand and the published ones of ResNet18."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmark.costs.graph import graph_cost
from tests.tiny_models import CHANNELS, write_tiny_model

# The convolutions of ResNet18: filters, channels, kernel, and side of the output at 224 pixels, as in He et al. (2015), table 1.
RESNET18 = [(64, 3, 7, 112)] + 4 * [(64, 64, 3, 56)]
for width, side in ((128, 28), (256, 14), (512, 7)):
    RESNET18 += [(width, width // 2, 3, side), *3 * [(width, width, 3, side)], (width, width // 2, 1, side)]


def write_graph(path, nodes, image_shape, weights, output="logits"):
    """A graph from float `images` to `output`, with zeros for its `weights`, given by shape and type."""
    from onnx import TensorProto, helper, numpy_helper, save

    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", *image_shape])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(shape, kind), name) for name, (shape, kind) in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def test_the_convolutions_and_the_last_layer_of_resnet18_are_1_814_gmacs(tmp_path) -> None:
    """1.814 GMACs at 224 px, as fvcore and torchvision's tables say; each convolution is fed an image of the size it meets."""
    from onnx import helper

    gmacs, n_weights = 512 * 1000 / 1e9, 512 * 1000
    for index, (filters, channels, kernel, side) in enumerate(RESNET18):
        node = helper.make_node("Conv", ["images", "weight"], ["logits"], kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4)
        weights = {"weight": ((filters, channels, kernel, kernel), np.float32)}
        cost = graph_cost(write_graph(tmp_path / f"{index}.onnx", [node], (channels, side, side), weights))
        gmacs, n_weights = gmacs + cost.gmacs, n_weights + cost.parameters
    assert gmacs == pytest.approx(1.814, abs=0.0005)
    assert (
        n_weights == 11_689_512 - 9_600 - 1000
    )  # torchvision's count, less scales and shifts of the 20 normalisations, and biases


def test_a_whole_model_of_the_contract_counts_its_network_and_not_its_preprocessing(tmp_path) -> None:
    path = write_tiny_model(tmp_path / "a.onnx", image_height=8, image_width=8, input_size=8, n_classes=3)
    weights, biases = CHANNELS * 3 * 9 + CHANNELS * 3, CHANNELS + 3
    assert graph_cost(path).parameters == weights + biases
    assert graph_cost(path).gmacs == pytest.approx((64 * CHANNELS * 3 * 9 + CHANNELS * 3) / 1e9)


@pytest.mark.parametrize("group", [1, 2, 8])
def test_groups_and_strides_divide_the_work(tmp_path, group: int) -> None:
    from onnx import helper

    node = helper.make_node("Conv", ["images", "weight"], ["logits"], group=group, strides=[2, 2], pads=[1] * 4)
    path = write_graph(tmp_path / "a.onnx", [node], (8, 12, 20), {"weight": ((16, 8 // group, 3, 3), np.float32)})
    assert graph_cost(path).gmacs == pytest.approx(6 * 10 * 16 * 8 // group * 9 / 1e9)


def test_a_product_counts_every_row_and_a_transposed_weight_is_read_the_other_way(tmp_path) -> None:
    from onnx import helper

    rows = write_graph(
        tmp_path / "rows.onnx",
        [helper.make_node("MatMul", ["images", "weight"], ["logits"])],
        (7, 5),
        {"weight": ((5, 11), np.float32)},
    )
    node = helper.make_node("Gemm", ["images", "weight"], ["logits"], transB=1)
    turned = write_graph(tmp_path / "turned.onnx", [node], (5,), {"weight": ((11, 5), np.float32)})
    assert graph_cost(rows).gmacs == pytest.approx(7 * 5 * 11 / 1e9)
    assert graph_cost(turned).gmacs == pytest.approx(5 * 11 / 1e9)


def test_a_quantised_weight_counts_as_the_weight_that_it_stands_for(tmp_path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["back"], axis=0),
        helper.make_node("Conv", ["images", "back"], ["logits"]),
    ]
    weights = {"weight": ((16, 3, 3, 3), np.int8), "scale": ((16,), np.float32), "zero": ((16,), np.int8)}
    cost = graph_cost(write_graph(tmp_path / "a.onnx", nodes, (3, 10, 10), weights))
    assert cost == (16 * 27, pytest.approx(64 * 16 * 27 / 1e9))


def test_a_shape_that_nobody_knows_leaves_the_figure_empty(tmp_path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("Unheard", ["images"], ["found"], domain="made.up"),
        helper.make_node("Conv", ["found", "weight"], ["logits"]),
    ]
    cost = graph_cost(write_graph(tmp_path / "a.onnx", nodes, (3, 9, 9), {"weight": ((4, 3, 3, 3), np.float32)}))
    assert cost.parameters == 108
    assert math.isnan(cost.gmacs)
