"""The V2 protocol as its reference client speaks it: tritonclient against a running server, answers against the session's own."""

from __future__ import annotations

import asyncio
import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest

from models.runtimes.opening import open_model
from tests.serve.serving import Server

http = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
aio = pytest.importorskip("tritonclient.http.aio")
InferenceServerException = pytest.importorskip("tritonclient.utils").InferenceServerException

pytestmark = pytest.mark.optional
NAMES = ("first", "with space")
ROUNDING = 1e-6  # relative to the largest logit: a batch of another size is computed in another order


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[http.InferenceServerClient]:
    with http.InferenceServerClient(server.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def sessions(models):
    return {path.stem: open_model(path, threads=1) for path in models}


def images(n_images: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n_images, 8, 12, 3), dtype=np.uint8)


def tensor(images_u8: np.ndarray, *, binary: bool = True, module=http):
    made = module.InferInput("images", list(images_u8.shape), "UINT8")
    made.set_data_from_numpy(images_u8, binary_data=binary)
    return made


def check(result, session, images_u8: np.ndarray) -> None:
    for name, wanted in zip(("logits", "probabilities"), session.run(images_u8), strict=True):
        found = result.as_numpy(name)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=ROUNDING, atol=ROUNDING * max(1, np.abs(wanted).max()))


def test_the_server_says_what_it_is_and_has(client: http.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata()["name"] == "netassay"
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert [entry["name"] for entry in client.get_model_repository_index()] == list(NAMES)


@pytest.mark.parametrize("version", ["", "1"])
@pytest.mark.parametrize("name", NAMES)
def test_a_models_card_is_its_metadata(client: http.InferenceServerClient, sessions, name: str, version: str) -> None:
    assert client.is_model_ready(name, version)
    metadata = client.get_model_metadata(name, version)
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 8, 12, 3]}]
    assert metadata["outputs"] == [{"name": output, "datatype": "FP32", "shape": [-1, 7]} for output in ("logits", "probabilities")]
    assert json.loads(metadata["properties"]["model_card"])["class_names"] == list(sessions[name].card.class_names)
    config = client.get_model_config(name, version)
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (16, [8, 12, 3])


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("n_images", [1, 16])
def test_every_form_of_a_request_gets_the_sessions_answer(client, sessions, n_images: int, binary: bool, compression) -> None:
    sent = images(n_images)
    outputs = None if binary else [http.InferRequestedOutput(name, binary_data=False) for name in ("logits", "probabilities")]
    result = client.infer(
        "first",
        [tensor(sent, binary=binary)],
        outputs=outputs,
        request_id="4711",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert result.get_response()["id"] == "4711"
    assert result.get_response()["model_version"] == "1"
    check(result, sessions["first"], sent)


def test_json_in_and_binary_out_as_the_client_asks_by_default(client, sessions) -> None:
    sent = images(2)
    result = client.infer("with space", [tensor(sent, binary=False)])
    assert "binary_data_size" in result.get_response()["outputs"][0]["parameters"]
    check(result, sessions["with space"], sent)


def test_one_output_alone_and_the_best_classes_by_name(client, sessions) -> None:
    sent = images(3)
    only = client.infer("first", [tensor(sent)], outputs=[http.InferRequestedOutput("probabilities")])
    assert only.as_numpy("logits") is None
    best = client.infer("first", [tensor(sent)], outputs=[http.InferRequestedOutput("probabilities", class_count=1)])
    names = [text.decode().split(":", 2)[2] for text in best.as_numpy("probabilities").ravel()]
    assert names == [f"class_{index}" for index in sessions["first"].run(sent).probabilities.argmax(axis=1)]


def test_64_requests_at_once_are_each_answered_with_their_own(server: Server, sessions) -> None:
    async def ask() -> None:
        async with aio.InferenceServerClient(server.address) as client:
            sent = [images(1 + seed % 3, seed) for seed in range(64)]
            asked = [
                client.infer(
                    NAMES[seed % 2], [tensor(one, module=aio)], request_id=str(seed), response_compression_algorithm="gzip"
                )
                for seed, one in enumerate(sent)
            ]
            for seed, result in enumerate(await asyncio.gather(*asked)):
                assert result.get_response()["id"] == str(seed)
                check(result, sessions[NAMES[seed % 2]], sent[seed])

    asyncio.run(ask())


def test_statistics_count_images_and_runs(client: http.InferenceServerClient) -> None:
    def read() -> dict:
        (found,) = client.get_inference_statistics("first")["model_stats"]
        return found

    before = read()
    client.infer("first", [tensor(images(5))])
    after = read()
    assert after["inference_count"] - before["inference_count"] == 5
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["success"]["count"] == before["inference_stats"]["success"]["count"] + 1
    assert sum(entry["compute_infer"]["count"] for entry in after["batch_stats"]) == after["execution_count"]
    assert len(client.get_inference_statistics()["model_stats"]) == 2


@pytest.mark.parametrize(
    ("ask", "status", "says"),
    [
        (lambda client: client.infer("third", [tensor(images(1))]), "404", "unknown model: 'third'"),
        (lambda client: client.infer("first", [tensor(images(1))], model_version="2"), "404", "version 2"),
        (lambda client: client.get_model_metadata("third"), "404", "third"),
        (lambda client: client.get_model_config("third"), "404", "third"),
        (lambda client: client.get_inference_statistics("third"), "404", "third"),
        (lambda client: client.infer("first", [tensor(images(17))]), "400", "1 to 16 images, not 17"),
        (lambda client: client.infer("first", [tensor(images(1).transpose(0, 2, 1, 3))]), "400", r"Expected \[-1, 8, 12, 3\]"),
        (lambda client: client.infer("first", [tensor(images(1))] * 2), "400", "expected 1 input"),
        (lambda client: client.infer("first", [tensor(images(1))], outputs=[http.InferRequestedOutput("top")]), "400", "'top'"),
        (lambda client: client.load_model("first"), "404", "Not Found"),
    ],
)
def test_what_cannot_be_answered_is_an_error_in_words(client: http.InferenceServerClient, ask, status: str, says: str) -> None:
    with pytest.raises(InferenceServerException, match=says) as error:
        ask(client)
    assert error.value.status() == status


def test_a_model_that_is_not_there_is_not_ready(client: http.InferenceServerClient) -> None:
    assert not client.is_model_ready("third")
    assert not client.is_model_ready("first", "2")


@pytest.mark.parametrize(
    ("path", "method", "sent", "headers", "status"),
    [
        ("/v2/models/first/infer", "POST", b"{", {}, 400),
        ("/v2/models/first/infer", "POST", b"", {}, 400),
        ("/v2/models/first/infer", "POST", b"{}", {"Inference-Header-Content-Length": "two"}, 400),
        ("/v2/models/first/infer", "POST", b"{}", {"Inference-Header-Content-Length": "1" * 5000}, 400),
        ("/v2/models/first/infer", "POST", b"no gzip", {"Content-Encoding": "gzip"}, 400),
        ("/v2/models/first/infer", "POST", b"{}", {"Content-Encoding": "br"}, 415),
        ("/v2/models/first/infer", "POST", bytes(2**21 + 1), {}, 413),
        ("/v2/models/first/infer", "GET", None, {}, 405),
        ("/v2/nothing", "GET", None, {}, 404),
    ],
)
def test_every_failure_is_json_with_an_error(server: Server, path: str, method: str, sent, headers, status: int) -> None:
    request = urllib.request.Request(server.url + path, sent, headers, method=method)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    with error.value as answer:
        assert answer.code == status
        assert list(json.load(answer)) == ["error"]


def test_a_small_body_that_decompresses_to_a_large_one_is_refused(server: Server) -> None:
    bomb = gzip.compress(bytes(2**21 + 1))
    request = urllib.request.Request(server.url + "/v2/models/first/infer", bomb, {"Content-Encoding": "gzip"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    with error.value as answer:
        assert (answer.code, "larger than" in json.load(answer)["error"]) == (413, True)
