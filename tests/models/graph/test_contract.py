from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, version_converter

from core.errors import UserError
from models.graph.contract import at_contract_opset, contract_breach, load_model, save_model
from models.graph.wrap import wrap
from tests.tiny_models import tiny_card, tiny_core, write_tiny_model

CARD = tiny_card()


def contract_model() -> ModelProto:
    return wrap(tiny_core(3, 8), CARD)


def test_a_saved_model_comes_back_with_its_card(tmp_path: Path) -> None:
    model = contract_model()
    model.metadata_props.add(key="note", value="kept")
    save_model(model, CARD, tmp_path / "tiny.onnx")
    loaded, card = load_model(tmp_path / "tiny.onnx")
    assert card == CARD
    assert loaded.graph == model.graph
    assert {entry.key for entry in loaded.metadata_props} == {"note", "model_card"}
    save_model(loaded, tiny_card("renamed"), tmp_path / "tiny.onnx")
    reloaded, card = load_model(tmp_path / "tiny.onnx")
    assert card.name == "renamed"
    assert [entry.key for entry in reloaded.metadata_props].count("model_card") == 1


def _rename_input(model: ModelProto) -> None:
    model.graph.input[0].name = "pixels"


def _float_input(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def _second_input(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def _fixed_batch(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _other_size(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 9


def _no_probabilities(model: ModelProto) -> None:
    del model.graph.output[1]


def _another_symbol(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "unk__87"


def _nameless_batch(model: ModelProto) -> None:
    model.graph.output[1].type.tensor_type.shape.dim[0].Clear()


def _open_sizes(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        for index, dim in enumerate(value.type.tensor_type.shape.dim):
            dim.Clear()
            dim.dim_param = f"{value.name}_{index}"


def _no_shape_of_outputs(model: ModelProto) -> None:
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _initializers_as_inputs(model: ModelProto) -> None:
    model.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in model.graph.initializer
    )


def _one_more_output(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["logits"], ["features"]))
    model.graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3]))


def _ir(model: ModelProto) -> None:
    model.ir_version = 10


def _at_opset(version: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.CopyFrom(version_converter.convert_version(model, version))

    change.__name__ = f"_opset_{version}"
    return change


UNUSABLE = [
    (_rename_input, "inputs are pixels, not images"),
    (_second_input, "inputs are images, more, not images"),
    (_float_input, "images is FLOAT"),
    (_fixed_batch, "its batch is fixed at 1 (images is (1, 8, 8, 3)), so other batch sizes cannot be measured"),
    (_other_size, "images is UINT8 ('batch', 9, 8, 3)"),
    (_no_probabilities, "outputs are logits, not logits and probabilities"),
]
HARMLESS = [
    _another_symbol, _nameless_batch, _open_sizes, _no_shape_of_outputs, _initializers_as_inputs, _one_more_output, _ir,
    _at_opset(17), _at_opset(19), _at_opset(20), _at_opset(21),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "words"), UNUSABLE)
def test_what_cannot_be_measured_is_named_and_never_saved_or_loaded(
    spoil: Callable[[ModelProto], None], words: str, tmp_path: Path
) -> None:
    model = contract_model()
    assert contract_breach(model, CARD) is None
    save_model(model, CARD, tmp_path / "good.onnx")
    spoil(model)
    breach = contract_breach(model, CARD)
    assert breach is not None
    assert words in breach
    with pytest.raises(UserError, match="does not keep the ONNX contract"):
        save_model(model, CARD, tmp_path / "bad.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["good.onnx"]
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(UserError, match=r"bad.onnx cannot be used: .*; CONTRIBUTING.md") as caught:
        load_model(tmp_path / "bad.onnx")
    assert words in str(caught.value)
    assert "export.to_onnx" not in str(caught.value)  # which did not make this file


@pytest.mark.parametrize("change", HARMLESS)
def test_what_runs_is_read_and_brought_into_the_contracts_form(change: Callable[[ModelProto], None], tmp_path: Path) -> None:
    """ONNX Runtime is the judge of what runs, and says the same of the file and of what was read, at the contract's opset."""
    model = contract_model()
    save_model(model, CARD, tmp_path / "good.onnx")
    model = onnx.load(tmp_path / "good.onnx")
    change(model)
    path = tmp_path / "foreign.onnx"
    onnx.save(model, path)
    images_u8 = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    names = ["logits", "probabilities"]
    wanted = onnxruntime.InferenceSession(path).run(names, {"images": images_u8})
    loaded, card = load_model(path)
    assert card == CARD
    converted = at_contract_opset(loaded, path)
    assert contract_breach(converted, card) is None
    save_model(converted, card, tmp_path / "again.onnx")
    found = onnxruntime.InferenceSession(tmp_path / "again.onnx").run(names, {"images": images_u8})
    for left, right in zip(wanted, found, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


def test_an_opset_that_cannot_be_converted_is_one_line(tmp_path: Path) -> None:
    model = contract_model()
    model.graph.node[0].op_type = "NoSuchOperator"
    model.opset_import[0].version = 20
    with pytest.raises(UserError, match=r"mine.onnx is at opset 20 and cannot be converted to 18.*export it at opset 18") as caught:
        at_contract_opset(model, tmp_path / "mine.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.pth", "PyTorch weights; make an ONNX file of it with python -m export.to_onnx"),
        ("a.pt", "PyTorch weights; make an ONNX file of it with torch.onnx.export"),
        ("a.keras", "a Keras model; make an ONNX file of it with python -m export.to_onnx"),
        ("a.H5", "a Keras model in its old format; make an ONNX file of it with python -m tf2onnx.convert --keras"),
        (
            "a.tflite",
            "TensorFlow Lite model, which is not supported; make an ONNX file of it with python -m tf2onnx.convert --tflite",
        ),
        ("a.pb", "python -m tf2onnx.convert --saved-model"),
        ("a.safetensors", "torch.onnx.export"),
    ],
)
def test_files_of_other_kinds_are_called_by_their_kind_and_the_command_that_takes_them(
    name: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"TFL3")
    with pytest.raises(UserError) as caught:
        load_model(tmp_path / name)
    assert words in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_a_card_with_other_classes_is_a_breach() -> None:
    breach = contract_breach(contract_model(), tiny_card(n_classes=4))
    assert breach is not None
    assert "logits is FLOAT ('batch', 3), not FLOAT ('batch', 4)" in breach


def test_an_invalid_graph_is_not_saved_and_the_earlier_file_stays(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    before = path.read_bytes()
    model = contract_model()
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(UserError, match="is not valid ONNX"):
        save_model(model, CARD, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    before = path.read_bytes()

    def half_a_file(model: ModelProto, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx, "save", half_a_file)
    with pytest.raises(KeyboardInterrupt):
        save_model(contract_model(), CARD, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kept", [0, 1, 10, 0.5, 0.99])
def test_a_truncated_file_is_refused_in_one_line(kept: float, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(UserError) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_a_folder_and_a_text_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"does not exist; there is no folder {tmp_path}/none/ either; check its name"):
        load_model(tmp_path / "none" / "absent.onnx")
    with pytest.raises(UserError, match=rf"does not exist; check its name; {tmp_path}/ holds no ONNX file"):
        load_model(tmp_path / "absent.onnx")
    (tmp_path / "a.pth").touch()
    with pytest.raises(UserError, match=rf"does not exist; python -m export.to_onnx --models-dir {tmp_path} makes"):
        load_model(tmp_path / "absent.onnx")
    write_tiny_model(tmp_path / "there.onnx")
    with pytest.raises(UserError, match=rf"absent.onnx does not exist; {tmp_path}/ holds there.onnx"):
        load_model(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match="is a folder"):
        load_model(tmp_path)
    (tmp_path / "text.onnx").write_text("this is no protobuf at all\n" * 20)
    with pytest.raises(UserError, match="not a valid ONNX file"):
        load_model(tmp_path / "text.onnx")


def test_a_file_without_card_says_what_a_card_needs(tmp_path: Path) -> None:
    onnx.save(contract_model(), tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match=r"carries no model card .*class_names.*python -m export\.adopt"):
        load_model(tmp_path / "foreign.onnx")
