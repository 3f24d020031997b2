"""Foreign images of a folder, in a whole run: read in the models' size, scored as the models' own logits say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from benchmark.command import main
from benchmark.ood.foreign import foreign_images
from benchmark.results import read_results
from core.errors import UserError
from data import open_dataset
from data.reading import Reading
from tests.tiny_models import write_tiny_model

DIGITS = open_dataset("digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("foreign") / "noise"
    random = np.random.default_rng(0)
    for index in range(12):
        path = root / "xy"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 32, 3), dtype=np.uint8)).save(path)
    return root


def test_they_come_in_the_models_size_and_no_more_than_asked_for(folder: Path) -> None:
    like = DIGITS.official("test")
    assert foreign_images(str(folder), None, like, Reading(), None, 0).images_u8.shape == (12, 32, 32, 3)
    assert len(foreign_images(str(folder), None, like, Reading(), 5, 0)) == 5
    with pytest.raises(UserError, match="--ood digits are the images that are judged"):
        foreign_images("digits", None, like, Reading(), None, 0)


def test_a_run_says_how_well_foreign_images_are_known(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = {"image_height": 32, "image_width": 32, "class_names": DIGITS.class_names, "dataset_sha256": DIGITS.fingerprints()}
    paths = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, **common) for seed, name in enumerate("ab")]
    arguments = ["--models", *map(str, paths), "--data", "digits", "--time-budget", "0", "--limit", "50", "--no-report"]
    assert main([*arguments, "--ensemble", "mean", "--ood", str(folder), "--out", str(tmp_path / "runs")]) == 0
    assert "Does it know what is foreign? 50 own images, 12 of noise" in capsys.readouterr().out
    results = read_results(next((tmp_path / "runs").iterdir()))
    rows = results.ood.set_index(["model", "score"])
    assert len(rows) == 3 + 3 + 2  # the mean of probabilities has no energy
    session = onnxruntime.InferenceSession(str(paths[1]), providers=["CPUExecutionProvider"])
    images = foreign_images(str(folder), None, DIGITS.official("test"), Reading(), None, 0).images_u8
    foreign, own = session.run(["logits"], {"images": images})[0].max(axis=1), results.predictions["b"].logits.max(axis=1)
    assert rows.loc[("b", "largest logit"), "auroc"] == pytest.approx(roc_auc_score([1] * 50 + [0] * 12, np.r_[own, foreign]))
