from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import scipy.special
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from models.card import ModelCard
from models.graph.contract import BATCH, contract_breach
from models.graph.wrap import CORE, wrap
from tests.tiny_models import tiny_card, tiny_core

N_CLASSES = 4
PixelArray = np.ndarray


def run(model: onnx.ModelProto, images_u8: PixelArray) -> list[np.ndarray]:
    return list(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"images": images_u8}))


def images(n_images: int, height: int, width: int) -> PixelArray:
    return np.random.default_rng(7).integers(0, 256, (n_images, height, width, 3), dtype=np.uint8)


def see_through(card: ModelCard) -> onnx.ModelProto:
    """A contract model whose logits are the preprocessed pixels themselves, flat, in NCHW or NHWC order."""
    assert card.preprocessing is not None
    size = card.preprocessing.input_size
    shape = ["n", 3, size, size] if card.preprocessing.layout == "nchw" else ["n", size, size, 3]
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["images"], ["logits"])],  # the contract's own names: they must not clash
        "see_through",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3 * size * size])],
    )
    core = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return wrap(core, card)


def pixels_seen(height: int, width: int, input_size: int, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Grey levels that the core gets, and those that PIL gives, both (n, size, size, 3)."""
    card = tiny_card(n_classes=3 * input_size**2, image_height=height, image_width=width, input_size=input_size, layout=layout)
    assert card.preprocessing is not None
    images_u8 = images(3, height, width)
    flat = run(see_through(card), images_u8)[0]
    if layout == "nchw":
        seen = flat.reshape(-1, 3, input_size, input_size).transpose(0, 2, 3, 1)
    else:
        seen = flat.reshape(-1, input_size, input_size, 3)
    levels = 255 * (seen * np.array(card.preprocessing.std) + np.array(card.preprocessing.mean))
    return levels, np.stack([resize_and_crop(image_u8, input_size) for image_u8 in images_u8])


def resize_and_crop(image_u8: PixelArray, input_size: int) -> PixelArray:
    """Resize and CenterCrop as torchvision has them, written with PIL alone, on float32."""
    height, width = image_u8.shape[:2]
    shorter = min(height, width)
    width, height = input_size * width // shorter, input_size * height // shorter
    left, top = round((width - input_size) / 2), round((height - input_size) / 2)
    planes = [Image.fromarray(image_u8[:, :, channel].astype(np.float32)) for channel in range(3)]
    planes = [plane.resize((width, height), Image.Resampling.BILINEAR) for plane in planes]
    return np.stack([np.asarray(plane.crop((left, top, left + input_size, top + input_size))) for plane in planes], axis=-1)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("height", "width", "input_size"),
    [
        (8, 8, 8),
        (32, 32, 64),
        (32, 32, 224),
        (64, 64, 32),
        (32, 32, 8),
        (16, 8, 32),
        (12, 24, 6),
        (9, 12, 9),
        (13, 8, 8),
        (20, 33, 224),
        (33, 20, 16),
        (64, 64, 224),
        (31, 64, 32),
        (100, 37, 32),
    ],
)
def test_the_core_sees_pils_pixels(height: int, width: int, input_size: int, layout: str) -> None:
    levels, expected = pixels_seen(height, width, input_size, layout)
    np.testing.assert_allclose(levels, expected, atol=5e-3)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("input_size", [8, 16])
def test_model_keeps_the_contract_and_means_what_the_core_means(layout: str, input_size: int) -> None:
    card = tiny_card(n_classes=N_CLASSES, image_height=10, image_width=8, input_size=input_size, layout=layout)
    core = tiny_core(N_CLASSES, input_size, layout=layout)
    before = core.SerializeToString()
    model = wrap(core, card)
    assert core.SerializeToString() == before
    assert contract_breach(model, card) is None
    onnx.checker.check_model(model, full_check=True)

    images_u8 = images(5, 10, 8)
    levels = np.stack([resize_and_crop(image_u8, input_size) for image_u8 in images_u8])
    assert card.preprocessing is not None
    fed = ((levels / 255 - card.preprocessing.mean) / card.preprocessing.std).astype(np.float32)
    fed = fed.transpose(0, 3, 1, 2) if layout == "nchw" else fed
    expected = onnxruntime.InferenceSession(core.SerializeToString()).run(None, {"input": np.ascontiguousarray(fed)})[0]
    logits, probabilities = run(model, images_u8)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(probabilities, scipy.special.softmax(logits, axis=1), atol=1e-6)


def test_logits_do_not_depend_on_the_batch() -> None:
    model = wrap(tiny_core(N_CLASSES, 16), tiny_card(n_classes=N_CLASSES, input_size=16))
    images_u8 = images(7, 8, 8)
    together = run(model, images_u8)[0]
    alone = np.concatenate([run(model, images_u8[index : index + 1])[0] for index in range(7)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_batch_is_the_only_symbol_and_core_names_are_prefixed() -> None:
    model = wrap(tiny_core(N_CLASSES, 16), tiny_card(n_classes=N_CLASSES, input_size=16))
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    assert {dim.dim_param for value in values for dim in value.type.tensor_type.shape.dim if dim.dim_param} == {BATCH}
    weights = {tensor.name for tensor in model.graph.initializer if not tensor.name.startswith("prefix/")}
    assert weights == {CORE + name for name in ("conv_weight", "conv_bias", "gemm_weight", "gemm_bias")}


def test_graph_holds_no_more_nodes_than_needed() -> None:
    def operators(**card: object) -> list[str]:
        model = see_through(tiny_card(n_classes=192, **card))  # type: ignore[arg-type]
        return [node.op_type for node in model.graph.node]

    suffix = ["Flatten", "Identity", "Softmax"]
    assert operators(layout="nhwc", mean=(0.0, 0.0, 0.0)) == ["Cast", "Mul", *suffix]
    assert operators(layout="nchw") == ["Transpose", "Cast", "Mul", "Add", *suffix]
    assert operators(image_height=9, input_size=8) == ["Transpose", "Cast", "Slice", "Mul", "Add", *suffix]
    assert operators(image_height=4, image_width=4, input_size=8, layout="nhwc") == [
        "Transpose", "Cast", "Resize", "Mul", "Add", "Transpose", *suffix,
    ]  # fmt: skip


def test_notes_of_exporters_and_repeated_opsets_are_dropped() -> None:
    core = tiny_core(N_CLASSES, 8)
    core.graph.node[0].doc_string = "/a/path/of/this/machine.py"
    core.graph.node[0].metadata_props.add(key="stack_trace", value="/a/path/of/this/machine.py")
    core.opset_import.extend([helper.make_opsetid("", 18), helper.make_opsetid("unused.domain", 1)])
    model = wrap(core, tiny_card(n_classes=N_CLASSES))
    assert b"/a/path" not in model.SerializeToString()
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]


def test_local_functions_are_written_out() -> None:
    core = tiny_core(N_CLASSES, 8)
    double = helper.make_function(
        "local", "Double", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 18)]
    )
    core.functions.append(double)
    core.opset_import.append(helper.make_opsetid("local", 1))
    core.graph.node[-1].output[0] = "single"
    core.graph.node.append(helper.make_node("Double", ["single"], ["output"], domain="local"))
    card = tiny_card(n_classes=N_CLASSES)
    images_u8 = images(2, 8, 8)
    np.testing.assert_allclose(
        run(wrap(core, card), images_u8)[0], 2 * run(wrap(tiny_core(N_CLASSES, 8), card), images_u8)[0], rtol=1e-5
    )


def _without_input(core: onnx.ModelProto) -> None:
    del core.graph.input[:]
    core.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, 8, 8), np.float32), "input"))


def _two_outputs(core: onnx.ModelProto) -> None:
    core.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["N", 16]))


def _opset_17(core: onnx.ModelProto) -> None:
    core.opset_import[0].version = 17


def _uint8_input(core: onnx.ModelProto) -> None:
    core.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(_without_input, "one input"), (_two_outputs, "one output"), (_opset_17, "opset 17"), (_uint8_input, "must be float32")],
)
def test_cores_that_cannot_be_wrapped_are_refused(spoil, words: str) -> None:  # type: ignore[no-untyped-def]
    core = tiny_core(N_CLASSES, 8)
    spoil(core)
    with pytest.raises(ValueError, match=words):
        wrap(core, tiny_card(n_classes=N_CLASSES))


def test_extra_work_of_tiny_models_changes_no_output() -> None:
    card = tiny_card(n_classes=N_CLASSES)
    images_u8 = images(3, 8, 8)
    plain = run(wrap(tiny_core(N_CLASSES, 8), card), images_u8)
    slow = run(wrap(tiny_core(N_CLASSES, 8, extra_work=5), card), images_u8)
    np.testing.assert_array_equal(plain[0], slow[0])
