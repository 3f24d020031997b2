"""What the tests of pages share: Chromium, a run of two regressions, and how a page is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data import open_dataset
from models.graph.contract import IR_VERSION, OPSET, save_model
from models.graph.wrap import wrap
from tests.tiny_models import tiny_card

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
Open = Callable[..., "Page"]


def write_regression(path: Path, n_images: int) -> Path:
    """A contract file of scikit-learn's logistic regression on the first `n_images` training digits."""
    from onnx import TensorProto, helper, numpy_helper
    from sklearn.linear_model import LogisticRegression

    digits = open_dataset("digits")
    train = digits.split("train", 0)
    pixels = (train.images_u8[:n_images].transpose(0, 3, 1, 2).reshape(n_images, -1) / 255 - 0.5) / 0.25
    fitted = LogisticRegression(C=0.01, max_iter=2000).fit(pixels, train.labels[:n_images])
    values = {"weights": fitted.coef_.T, "bias": fitted.intercept_}
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "weights", "bias"], ["y"])],
        "regression",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
    )
    core = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    card = tiny_card(
        path.stem,
        image_height=32,
        image_width=32,
        class_names=digits.class_names,
        dataset_sha256=digits.fingerprints(),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    save_model(wrap(core, card), card, path)
    return path


def choose(page: Page, a: str, b: str) -> None:
    page.select_option("#a", label=a)
    page.select_option("#b", label=b)


def text(page: Page, selector: str) -> str:
    return " ".join(page.locator(selector).inner_text().split())


def cards(page: Page) -> list[str]:
    return [" ".join(card.split()) for card in page.locator("#gallery-images > li").all_inner_texts()]
