"""float16: the network and nothing else, between float32 ends, at the contract's opset."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from export.quantize.fp16 import fp16_core
from models.graph.contract import IMAGES, LOGITS, PROBABILITIES, contract_breach, load_model
from models.graph.parts import cut_core, is_prefix, require_versions, with_core
from models.runtimes.onnx_runtime import session
from tests.tiny_models import write_tiny_model


@pytest.mark.parametrize("options", [{}, {"input_size": 20}, {"layout": "nhwc"}])
def test_it_keeps_the_contract_and_nearly_the_outputs(tmp_path: Path, options: dict) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx", **options)
    model, card = load_model(path)
    core = fp16_core(cut_core(model), path)
    require_versions(core, path)
    variant = with_core(model, core)
    assert contract_breach(variant, card) is None
    images_u8 = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    names = [LOGITS, PROBABILITIES]
    for wanted, found in zip(*(session(one).run(names, {IMAGES: images_u8}) for one in (model, variant)), strict=True):
        assert found.dtype == np.float32
        assert 0 < abs(wanted - found).max() < 0.01 * max(1, abs(wanted).max())


def test_weights_are_half_as_wide_and_the_prefix_is_not_touched(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx", input_size=20)
    model, _card = load_model(path)
    variant = with_core(model, fp16_core(cut_core(model), path))
    types = {tensor.name: tensor.data_type for tensor in variant.graph.initializer}
    assert types["core/conv_weight"] == types["core/gemm_weight"] == TensorProto.FLOAT16
    before, after = ([node.SerializeToString() for node in one.graph.node if is_prefix(node)] for one in (model, variant))
    assert before == after
    for name in (name for node in model.graph.node if is_prefix(node) for name in node.input):
        assert types.get(name) != TensorProto.FLOAT16


def test_the_core_given_is_left_as_it_was(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    core = cut_core(load_model(path)[0])
    before = core.SerializeToString(deterministic=True)
    fp16_core(core, path)
    assert core.SerializeToString(deterministic=True) == before
