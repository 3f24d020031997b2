"""Chromium, a run and its page, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmark.report.html.page import PAGE_FILE
from benchmark.results import Results
from benchmark.run import evaluate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


from tests.browser.opened import CHROMIUM, WIDE, Open, write_regression


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: tox -e browser")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, such as Debian's package chromium")
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]  # as root, and in containers
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@pytest.fixture(scope="module")
def run(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A real run: logistic regressions on 40 and on 400 digits, and their mean, at two batch sizes."""
    folder = tmp_path_factory.mktemp("models")
    models = [write_regression(folder / f"{name}.onnx", n_images) for name, n_images in (("a", 40), ("b", 400))]
    return evaluate(models, data="digits", ensemble="mean", batch_sizes=(1, 4), time_budget_s=8, out=folder)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open a file without network; what it says on the console, asks for or shows as a dialog fails the test."""
    said: list[str] = []
    contexts = []

    def opened(path: Path, viewport: dict[str, int] | None = None, scheme: str = "light", address: str = "") -> Page:
        context = browser.new_context(viewport=viewport or WIDE, color_scheme=scheme, offline=True)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: said.extend([] if request.url.startswith(("file:", "data:")) else [request.url]))
        page.goto(f"{path.as_uri()}{address}")
        page.wait_for_function(
            "document.querySelectorAll('.chart').length === document.querySelectorAll('.chart svg[role=img]').length"
        )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def page(open_page: Open, run: Results) -> Page:
    return open_page(run.folder / PAGE_FILE)
