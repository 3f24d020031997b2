"""The server's page in Chromium: a picture dropped, pasted or photographed becomes bars; what is no picture becomes a sentence."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from data.decode import read_image
from models.runtimes.opening import open_model
from tests.serve.serving import Server, serving
from tests.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: tox -e browser")
pytest.importorskip("uvicorn", reason="needs the group serve")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("needs Chromium, such as Debian's package chromium", allow_module_level=True)
NAMES = ("airplane", "<img src=x onerror=alert(1)>", "cat & dog", "truck")
TAKE = """([kind, data, name]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], name, { type: "image/jpeg" }));
    const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true })
                                  : Object.assign(new Event("paste", { bubbles: true }), { clipboardData: carried });
    document.getElementById("drop").dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]  # as root, and in containers
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags + camera)
        yield started
        started.close()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    common = {"image_height": 16, "image_width": 16, "class_names": NAMES, "temperature": 20.0}
    return [write_tiny_model(folder / f"{name}.onnx", seed=seed, **common) for seed, name in enumerate("ab")]


@pytest.fixture(scope="module")
def server(paths: list[Path]) -> Iterator[Server]:
    with serving(paths, "--unsure-below", "0.99", "--max-body-mb", "1") as started:
        yield started


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page; a request to another address, a dialog, or a word on the console that is no refusal fails the test."""
    said: list[str] = []
    context = browser.new_context()
    opened = context.new_page()
    opened.on("console", lambda message: said.append(message.text) if "status of 4" not in message.text else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(dialog.message))
    opened.on(
        "request", lambda request: said.extend([] if request.url.startswith((server.url, f"blob:{server.url}")) else [request.url])
    )
    opened.goto(server.url)
    yield opened
    context.close()
    assert said == []


def picture() -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def take(page: Page, kind: str, data: bytes, name: str = "picture.jpg") -> None:
    page.evaluate(TAKE, [kind, base64.b64encode(data).decode(), name])


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_becomes_bars_of_what_the_sessions_say(page: Page, paths: list[Path], kind: str, tmp_path: Path) -> None:
    take(page, kind, picture())
    page.wait_for_selector("article")
    assert page.locator("article h2").all_inner_texts() == ["a", "b", "mean of a + b"]
    (tmp_path / "picture.jpg").write_bytes(picture())
    image_u8 = read_image(tmp_path / "picture.jpg", (16, 16))[None]
    both = [open_model(path, threads=1).run(image_u8).probabilities[0] for path in paths]
    for article, probabilities in zip(page.locator("article").all(), [*both, np.mean(both, axis=0)], strict=True):
        order = np.argsort(-probabilities, kind="stable")
        assert article.locator("li span:first-child").all_inner_texts() == [NAMES[at] for at in order]
        shown = [float(text.removesuffix(" %")) for text in article.locator("li span:nth-child(2)").all_inner_texts()]
        np.testing.assert_allclose(shown, 100 * probabilities[order], atol=0.0501)
        assert article.get_by_text("not sure").count() == (probabilities.max() < 0.99)
    assert page.locator("#status").inner_text().startswith("30×40 JPEG")


def test_the_camera_takes_a_picture(page: Page) -> None:
    page.click("#camera")
    while not page.evaluate("document.getElementById('video').videoWidth"):  # the page's policy forbids wait_for_function's eval
        page.wait_for_timeout(50)
    page.click("#shoot")
    page.wait_for_selector("article")
    assert "PNG" in page.locator("#status").inner_text()


def test_what_is_no_picture_is_told_and_the_next_picture_is_shown(page: Page) -> None:
    for data, says in ((b"a text", "no image"), (b"", "empty"), (bytes(2**20 + 1), "larger than the 1 MB")):
        take(page, "drop", data)
        sync_api.expect(page.locator("#status")).to_contain_text(says)
        assert page.locator("article").count() == 0
    take(page, "drop", picture())
    page.wait_for_selector("article")


def test_the_description_shows_every_path(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/docs")
    page.wait_for_selector("#schemas details")
    shown = page.locator("#paths summary code").all_inner_texts()
    assert {"POST /predict", "POST /v2/models/{name}/infer", "GET /metrics"} <= set(shown)
