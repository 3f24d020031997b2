"""`POST /predict`, the page and the description of the API, on a running server."""

from __future__ import annotations

import csv
import io
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.decode import read_image
from models.runtimes.opening import open_model
from serve.runs import NEVER_SURE
from tests.commands import in_this_process
from tests.serve.serving import Server, serving
from tests.tiny_models import write_tiny_model

pytestmark = [pytest.mark.optional, pytest.mark.usefixtures("needs_serve")]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG that has to be turned and resized."""
    path = tmp_path_factory.mktemp("picture") / "picture.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def post(server: Server, sent: bytes, query: str = "", content_type: str = "image/jpeg") -> dict:
    request = urllib.request.Request(f"{server.url}/predict{query}", sent, {"Content-Type": content_type})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def refusal(server: Server, sent: bytes, query: str = "", content_type: str = "image/jpeg") -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        post(server, sent, query, content_type)
    with error.value as answer:
        return answer.code, json.load(answer)["error"]


def get(server: Server, path: str) -> tuple[str, dict]:
    with urllib.request.urlopen(server.url + path) as answer:
        return answer.read().decode(), dict(answer.headers)


def test_every_model_says_of_a_picture_what_its_session_says(server: Server, models: list[Path], picture: Path) -> None:
    told = post(server, picture.read_bytes(), "?top=7")
    assert told["image"] == {"width": 30, "height": 50, "format": "JPEG"}  # as it is seen
    image_u8 = read_image(picture, (8, 12))[None]
    expected = [open_model(path, threads=1).run(image_u8).probabilities[0] for path in models]
    for answer, path, probabilities in zip(told["models"], models, expected, strict=True):
        assert answer["model"] == path.stem
        order = [int(one["class"].removeprefix("class_")) for one in answer["top"]]
        assert order == list(np.argsort(-probabilities, kind="stable"))
        np.testing.assert_allclose([one["probability"] for one in answer["top"]], probabilities[order], atol=1e-6)
        assert answer["sure"] and not answer["is_ensemble"]
    mean = np.mean(expected, axis=0)
    by_class = {one["class"]: one["probability"] for one in told["ensemble"]["top"]}
    np.testing.assert_allclose([by_class[f"class_{index}"] for index in range(7)], mean, atol=1e-6)
    assert told["ensemble"]["model"] == "mean of first + with space"


def test_one_model_alone_and_fewer_classes(server: Server, picture: Path) -> None:
    told = post(server, picture.read_bytes(), "?" + urllib.parse.urlencode({"model": "with space", "top": 2}))
    assert [answer["model"] for answer in told["models"]] == ["with space"]
    assert len(told["models"][0]["top"]) == 2
    assert told["ensemble"] is None


def test_a_form_with_a_file_is_read_too(server: Server, picture: Path) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nmine\r\n'
    form += b'--x\r\nContent-Disposition: form-data; name="any"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    form += picture.read_bytes() + b"\r\n--x--\r\n"
    told = post(server, form, content_type="multipart/form-data; boundary=x")
    assert told["models"] == [
        {**answer, "queue_ms": other["queue_ms"], "compute_ms": other["compute_ms"]}
        for answer, other in zip(post(server, picture.read_bytes())["models"], told["models"], strict=True)
    ]


@pytest.mark.parametrize(
    ("sent", "query", "content_type", "status", "says"),
    [
        (b"", "", "image/jpeg", 400, "empty"),
        (b"a text that is called picture.jpg", "", "image/jpeg", 415, "no image"),
        (b"\0" * 20_000_000, "", "image/jpeg", 413, "--max-body-mb"),
        (b"x", "?model=third", "image/jpeg", 404, "'third'"),
        (b"x", "?top=all", "image/jpeg", 400, "'top'"),
        (b"x", "?top=0", "image/jpeg", 400, "'top'"),
        (b"x", "?top=" + "1" * 5000, "image/jpeg", 400, "'top'"),
        (b"x", "?models=first", "image/jpeg", 400, "'models'"),
        (b"x", "", "multipart/form-data", 400, "form"),
        (b"x", "", "multipart/form-data; boundary=y", 400, "form"),
        (b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nmine\r\n--x--\r\n', "",
         "multipart/form-data; boundary=x", 400, "no file"),
    ],
)  # fmt: skip
def test_what_cannot_be_classified_is_refused_in_words(server: Server, sent, query, content_type, status, says) -> None:
    found, error = refusal(server, sent, query, content_type)
    assert (found, says in error) == (status, True), error
    assert not [line for line in server.lines if not line.startswith("{")]  # neither tracebacks nor words of libraries


@pytest.mark.parametrize("encoding", ["PNG", "JPEG"])
def test_a_picture_of_50_megapixels_is_classified_and_a_larger_one_refused(server: Server, picture: Path, encoding: str) -> None:
    """By default, that is: 64 megapixels."""
    for width, height, is_taken in ((8660, 5774, True), (8660, 7400, False)):
        buffer = io.BytesIO()
        Image.new("L", (width, height), 128).save(buffer, encoding, compress_level=1)
        if is_taken:
            assert post(server, buffer.getvalue())["image"] == {"width": width, "height": height, "format": encoding}
        else:
            assert refusal(server, buffer.getvalue())[0] == 413
    assert len(post(server, picture.read_bytes())["models"]) == 2


def test_a_run_names_the_models_and_is_sure_where_it_chose_to_be(needs_serve: None, tmp_path: Path) -> None:
    """Of each model and of the mean of both, the threshold of `rejects.csv`; one that answers nothing is never sure."""
    of_digits = {"class_names": list("0123456789"), "dataset": "digits", "image_height": 32, "image_width": 32}
    names = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, **of_digits) for seed, name in enumerate("ab")]
    flags = ("--data", "digits", "--ensemble", "--time-budget", 0, "--max-error", 0.95, "--no-report")
    done = in_this_process("benchmark", "--models", *names, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "results").glob("*-benchmark")
    with (run / "rejects.csv").open(encoding="utf-8") as file:
        chosen = {row["model"]: float(row["threshold"] or NEVER_SURE) for row in csv.DictReader(file)}
    assert len(set(chosen.values())) > 1
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 99).save(buffer, "PNG")
    with serving([], "--run", str(run), "--unsure-below", "0.123") as server:
        told = post(server, buffer.getvalue())
    answers = {answer["model"]: answer for answer in told["models"]} | {"a+b": told["ensemble"]}
    assert {name: answer["unsure_below"] for name, answer in answers.items()} == pytest.approx(chosen)
    for answer in answers.values():
        assert answer["sure"] == (answer["top"][0]["probability"] >= answer["unsure_below"])


def test_the_pages_ask_for_nothing_from_elsewhere(server: Server) -> None:
    for path in ("/", "/docs"):
        text, headers = get(server, path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        for asset in re.findall(r'(?:src|href)="([^"]+)"', text):
            assert asset.startswith("/")
            content, _ = get(server, asset)
            assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", content)
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", text)  # the policy forbids what is inline


def test_the_description_names_each_path_that_answers(server: Server) -> None:
    told = json.loads(get(server, "/openapi.json")[0])
    assert told["openapi"].startswith("3.1")
    for path, methods in told["paths"].items():
        if "get" in methods:
            get(server, path.replace("{name}", "first"))
    schemas = told["components"]["schemas"]
    referred = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(told))
    assert set(referred) <= set(schemas)
