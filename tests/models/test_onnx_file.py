from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from core.errors import UserError
from export.contract import wrap
from models.onnx_file import contract_breach, load_model, save_model
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


def _another_symbol(model: ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "unk__87"


def _nameless_batch(model: ModelProto) -> None:
    model.graph.output[1].type.tensor_type.shape.dim[0].Clear()


def _other_size(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 9


def _no_probabilities(model: ModelProto) -> None:
    del model.graph.output[1]


def _opset(model: ModelProto) -> None:
    model.opset_import[0].version = 17


def _ir(model: ModelProto) -> None:
    model.ir_version = 10


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_rename_input, "inputs are pixels, not images"),
        (_second_input, "inputs are images, more, not images"),
        (_float_input, "images is FLOAT"),
        (_fixed_batch, "images is UINT8 (1, 8, 8, 3), not UINT8 ('batch', 8, 8, 3)"),
        (_another_symbol, "logits is FLOAT ('unk__87', 3)"),
        (_nameless_batch, "probabilities is FLOAT (None, 3)"),
        (_other_size, "images is UINT8 ('batch', 9, 8, 3)"),
        (_no_probabilities, "outputs are logits, not logits and probabilities"),
        (_opset, "opset is 17, not 18"),
        (_ir, "IR version is 10, not 8"),
    ],
)
def test_each_breach_is_named_and_never_saved_or_loaded(spoil: Callable[[ModelProto], None], words: str, tmp_path: Path) -> None:
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
    with pytest.raises(UserError, match="does not keep the ONNX contract"):
        load_model(tmp_path / "bad.onnx")


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
    with pytest.raises(UserError, match=r"does not exist; python -m export.to_onnx"):
        load_model(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match="is a folder"):
        load_model(tmp_path)
    (tmp_path / "text.onnx").write_text("this is no protobuf at all\n" * 20)
    with pytest.raises(UserError, match="not a whole ONNX file"):
        load_model(tmp_path / "text.onnx")


def test_a_file_without_card_says_what_a_card_needs(tmp_path: Path) -> None:
    onnx.save(contract_model(), tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match=r"carries no model card .*class_names"):
        load_model(tmp_path / "foreign.onnx")
