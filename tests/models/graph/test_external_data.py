"""Weights beside the file are read, counted and hashed like weights inside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import pytest
from onnx import helper, numpy_helper

from core.errors import UserError
from core.files import sha256_of_file
from models.graph.contract import load_model
from models.graph.external_data import _is_whole, files_of, sha256_of_model, size_bytes
from tests.tiny_models import write_tiny_model


def _outside(source: Path, target: Path, *, one_file: bool = True) -> list[Path]:
    """`source` written with all weights beside it; the files they lie in."""
    target.parent.mkdir(exist_ok=True)
    onnx.save(
        onnx.load(source),
        target,
        save_as_external_data=True,
        all_tensors_to_one_file=one_file,
        location=f"{target.name}.data" if one_file else None,
        size_threshold=0,
    )
    return sorted(set(target.parent.iterdir()) - {target})


@pytest.mark.parametrize("one_file", [True, False])
def test_weights_beside_the_file_are_those_inside_it(one_file: bool, tmp_path: Path) -> None:
    inside = write_tiny_model(tmp_path / "inside.onnx")
    outside = tmp_path / "apart" / "outside.onnx"
    beside = _outside(inside, outside, one_file=one_file)
    assert files_of(outside) == [outside, *beside]
    assert size_bytes(outside) == sum(path.stat().st_size for path in [outside, *beside])
    wanted, card = load_model(inside)
    model, found = load_model(outside)
    assert found == card
    for left, right in zip(wanted.graph.initializer, model.graph.initializer, strict=True):
        assert (numpy_helper.to_array(left) == numpy_helper.to_array(right)).all()


def test_the_hash_is_of_every_byte_and_of_one_file_the_files_own(tmp_path: Path) -> None:
    inside = write_tiny_model(tmp_path / "inside.onnx")
    assert sha256_of_model(inside) == sha256_of_file(inside)
    assert size_bytes(inside) == inside.stat().st_size
    outside = tmp_path / "apart" / "outside.onnx"
    (data,) = _outside(inside, outside)
    before = sha256_of_model(outside)
    assert before == hashlib.sha256(outside.read_bytes() + data.read_bytes()).hexdigest()
    changed = bytearray(data.read_bytes())
    changed[7] ^= 1
    data.write_bytes(bytes(changed))
    assert sha256_of_model(outside) != before


def test_a_missing_or_short_data_file_is_named(tmp_path: Path) -> None:
    outside = tmp_path / "apart" / "outside.onnx"
    (data,) = _outside(write_tiny_model(tmp_path / "inside.onnx"), outside)
    whole = data.read_bytes()
    for kept in (0, 10, len(whole) // 2):
        data.write_bytes(whole[:kept])
        with pytest.raises(UserError) as caught:
            load_model(outside)
        assert str(data) in str(caught.value)
        assert "\n" not in str(caught.value)
    data.unlink()
    with pytest.raises(UserError, match=r"keeps its weights in .*outside\.onnx\.data, which is missing; copy it there too"):
        load_model(outside)


def test_weights_of_sparse_tensors_and_functions_count_like_any_other(tmp_path: Path) -> None:
    model = onnx.load(write_tiny_model(tmp_path / "a.onnx"))
    before = onnx.load(tmp_path / "a.onnx")

    def beside(name: str) -> onnx.TensorProto:
        (tmp_path / name).write_bytes(bytes(16))
        tensor = onnx.TensorProto(name=name, dims=[4], data_type=onnx.TensorProto.FLOAT)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=name)
        return tensor

    model.graph.sparse_initializer.add().values.CopyFrom(beside("sparse.bin"))
    function = model.functions.add(name="f", domain="d", output=["y"])
    function.node.append(onnx.helper.make_node("Constant", [], ["y"], value=beside("function.bin")))
    onnx.save(model, tmp_path / "a.onnx")
    assert [path.name for path in files_of(tmp_path / "a.onnx")] == ["a.onnx", "function.bin", "sparse.bin"]
    whole = sha256_of_model(tmp_path / "a.onnx")
    (tmp_path / "sparse.bin").write_bytes(bytes(15) + b"1")
    assert sha256_of_model(tmp_path / "a.onnx") != whole
    assert before.graph.node


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "a/../../secret.bin"])
def test_weights_outside_the_folder_are_not_read(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(10**5))
    outside = tmp_path / "models" / "a.onnx"
    _outside(write_tiny_model(tmp_path / "a.onnx"), outside)
    model = onnx.load(outside, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    outside.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="outside its folder"):
        load_model(outside)


@pytest.mark.parametrize("name", sorted({*dict(onnx.TensorProto.DataType.items())} - {"UNDEFINED", "STRING"}))
def test_raw_data_of_another_length_than_the_type_has_is_not_whole(name: str) -> None:
    values = helper.make_tensor("w", onnx.TensorProto.DataType.Value(name), [3, 5], [1] * 15)
    packed = numpy_helper.from_array(numpy_helper.to_array(values))  # whose bytes are raw
    tensor = onnx.TensorProto(data_type=values.data_type, dims=[3, 5], raw_data=packed.raw_data)
    assert _is_whole(tensor)
    if name.startswith("FLOAT6"):
        return  # onnx itself does not agree on its length
    for length in range(len(packed.raw_data)):
        tensor.raw_data = packed.raw_data[:length]
        assert not _is_whole(tensor), length


def test_weights_beside_a_file_whose_name_is_not_utf_8_are_refused_in_plain_words(tmp_path: Path) -> None:
    target = tmp_path / "x\udc9b.onnx"
    _outside(write_tiny_model(tmp_path / "inside.onnx"), tmp_path / "x.onnx")
    (tmp_path / "x.onnx").rename(target)
    with pytest.raises(UserError, match=r"x.\.onnx has a name that is not UTF-8, which a model needs here; rename it"):
        load_model(target)
