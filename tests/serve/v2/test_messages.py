"""Requests and answers of the V2 protocol as bytes: what is well formed is read as it is, everything else is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runtimes.outputs import Outputs
from serve.errors import Refused
from serve.v2.messages import InferenceRequest, Signature, WantedOutput, read_request, write_answer

SIGNATURE = Signature("tiny", ("ant", "bee", "wasp: the yellow one"), image_height=2, image_width=3, max_batch=4)
IMAGES_U8 = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)
TENSOR = {"name": "images", "datatype": "UINT8", "shape": [2, 2, 3, 3]}


def body(tensor: dict[str, object] | None = None, **others: object) -> bytes:
    return json.dumps({"inputs": [{**TENSOR, "data": IMAGES_U8.ravel().tolist(), **(tensor or {})}], **others}).encode()


@pytest.mark.parametrize("data", [IMAGES_U8.tolist(), IMAGES_U8.ravel().tolist()], ids=["nested", "flat"])
def test_json_data_may_be_flat_or_nested(data) -> None:
    assert np.array_equal(read_request(body({"data": data}), None, SIGNATURE).images_u8, IMAGES_U8)


def test_bytes_behind_the_json_are_the_images() -> None:
    raw = IMAGES_U8.tobytes()
    header = json.dumps({"inputs": [{**TENSOR, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    assert np.array_equal(read_request(header + raw, len(header), SIGNATURE).images_u8, IMAGES_U8)
    assert np.array_equal(read_request(raw, 0, SIGNATURE).images_u8, IMAGES_U8)


def test_a_request_says_which_outputs_it_wants_and_how() -> None:
    read = read_request(
        body(
            id="seven",
            parameters={"binary_data_output": True, "timeout": 1_500_000},
            outputs=[{"name": "logits"}, {"name": "probabilities", "parameters": {"binary_data": False, "classification": 2}}],
        ),
        None,
        SIGNATURE,
    )
    assert (read.id, read.timeout_s) == ("seven", 1.5)
    assert read.outputs == (WantedOutput("logits", is_binary=True), WantedOutput("probabilities", n_top=2))
    everything = WantedOutput("logits"), WantedOutput("probabilities")
    assert read_request(body(), None, SIGNATURE).outputs == everything


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"", "parse"),
        (b"{", "parse"),
        (b"[" * 100_000, "parse"),
        (b"\xff\xfe\x00", "parse"),
        (b"[]", "object"),
        (b"{}", "inputs"),
        (b'{"inputs": []}', "inputs"),
        (b'{"inputs": [1]}', "input"),
        (body({"name": "input_1"}), "input_1"),
        (body({"datatype": "FP32"}), "FP32"),
        (body({"shape": [2, 3, 2, 3]}), "Expected [-1, 2, 3, 3], got [2, 3, 2, 3]"),
        (body({"shape": [2, 2, 3]}), "Expected"),
        (body({"shape": "2"}), "Expected"),
        (body({"shape": [True, 2, 3, 3]}), "Expected"),
        (body({"shape": [0, 2, 3, 3]}), "1 to 4 images"),
        (body({"shape": [5, 2, 3, 3]}), "1 to 4 images"),
        (body({"shape": [1, 2, 3, 3]}), "its shape says"),
        (body({"data": None}), "no 'data'"),
        (body({"data": [[1], [2, 3]]}), "flat list"),
        (body({"data": [256] * 36}), "0 to 255"),
        (body({"data": [-1] * 36}), "0 to 255"),
        (body({"data": [0.5] * 36}), "whole numbers"),
        (body({"data": [True] * 36}), "whole numbers"),
        (body({"data": [7] * 35 + [True]}), "not true or false"),
        (body({"shape": [1, 2, 3, 3], "data": [[[[7, 7, 7]] * 3, [[7, 7, 7]] * 2 + [[7, 7, False]]]]}), "not true or false"),
        (body({"data": ["1"] * 36}), "whole numbers"),
        (body({"data": [10**30] * 36}), "whole numbers"),
        (body({"parameters": {"binary_data_size": 36}}), "binary_data_size"),
        (body({"parameters": {"shared_memory_region": "x"}}), "shared memory"),
        (body({"parameters": [1]}), "parameters"),
        (body(id=7), "'id'"),
        (body(id="\ud800"), "'id'"),
        (b'{"inputs": ' + b"1" * 5000 + b"}", "JSON"),
        (body(outputs="logits"), "outputs"),
        (body(outputs=[{"name": "features"}]), "features"),
        (body(outputs=[{"name": "logits", "parameters": {"classification": "all"}}]), "classification"),
        (body(parameters={"timeout": "soon"}), "timeout"),
    ],
)
def test_a_malformed_request_is_refused_with_its_reason(sent: bytes, says: str) -> None:
    with pytest.raises(Refused) as refused:
        read_request(sent, None, SIGNATURE)
    assert refused.value.status == 400
    assert says in str(refused.value)


def test_a_timeout_larger_than_any_float_is_longer_than_every_other() -> None:
    timeout_s = read_request(body(parameters={"timeout": 10**400}), None, SIGNATURE).timeout_s
    assert timeout_s is not None and timeout_s >= 1e6


@pytest.mark.parametrize("header_length", [-1, 1, 10**9])
def test_a_header_length_that_does_not_fit_is_refused(header_length: int) -> None:
    with pytest.raises(Refused):
        read_request(body(), header_length, SIGNATURE)


def test_bytes_that_no_input_speaks_of_are_refused() -> None:
    sent = body()
    with pytest.raises(Refused, match="3 bytes follow the JSON"):
        read_request(sent + b"abc", len(sent), SIGNATURE)
    with pytest.raises(Refused, match="not a multiple of an image"):
        read_request(b"abc", 0, SIGNATURE)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("name", "datatype", "shape", "data", "parameters", "binary_data_size"), JSON_VALUES)
)


@given(
    tensor=FIELDS,
    others=st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "outputs", "parameters", "inputs"), JSON_VALUES)),
    tail=st.binary(max_size=4),
    header_length=st.none() | st.integers(-2, 400),
)
def test_whatever_is_sent_is_read_or_refused(tensor, others, tail, header_length) -> None:
    sent = json.dumps({"inputs": [{**TENSOR, "data": IMAGES_U8.tolist(), **tensor}], **others}).encode() + tail
    try:
        read = read_request(sent, header_length, SIGNATURE)
    except Refused as refused:
        assert refused.status == 400
    else:
        assert isinstance(read, InferenceRequest)
        assert read.images_u8.shape[1:] == (2, 3, 3)


@given(logits=st.lists(st.floats(-100, 100, width=32), min_size=6, max_size=6), binary=st.tuples(st.booleans(), st.booleans()))
def test_an_answer_holds_the_very_numbers(logits: list[float], binary: tuple[bool, bool]) -> None:
    outputs = Outputs(np.array(logits, np.float32).reshape(2, 3), np.full((2, 3), 1 / 3, np.float32))
    wanted = tuple(WantedOutput(name, is_binary) for name, is_binary in zip(("logits", "probabilities"), binary, strict=True))
    content, header_length = write_answer(outputs, wanted, SIGNATURE, "id with “quotes”")
    assert (header_length is not None) == any(binary)
    message = json.loads(content[:header_length])
    assert (message["model_name"], message["model_version"], message["id"]) == ("tiny", "1", "id with “quotes”")
    tail = content[header_length:] if header_length else b""
    for described, values in zip(message["outputs"], outputs, strict=True):
        assert (described["datatype"], described["shape"]) == ("FP32", [2, 3])
        if "data" in described:
            found = np.array(described["data"], np.float32)
        else:
            size = described["parameters"]["binary_data_size"]
            found, tail = np.frombuffer(tail[:size], "<f4"), tail[size:]
        assert np.array_equal(found.reshape(2, 3), values)
    assert tail == b""


def test_the_best_classes_come_with_their_names() -> None:
    outputs = Outputs(np.array([[1, 3, 2]], np.float32), np.array([[0.25, 0.5, 0.25]], np.float32))
    content, _ = write_answer(outputs, (WantedOutput("probabilities", n_top=2),), SIGNATURE)
    (described,) = json.loads(content)["outputs"]
    assert described == {
        "name": "probabilities",
        "datatype": "BYTES",
        "shape": [1, 2],
        "data": ["0.500000:1:bee", "0.250000:0:ant"],
    }
