"""Properties of images against Pillow and scipy, quarters by hand, and planted weaknesses that must be found."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageStat
from scipy.ndimage import convolve
from scipy.stats import binomtest, fisher_exact

from benchmark import evaluate
from benchmark.command import main
from benchmark.results import read_results
from benchmark.slices.quarters import BETTER, NO_DIFFERENCE, WORSE, properties, quarters, slice_rows
from data import open_dataset
from tests.packed_images import CLASS_NAMES, pictures, write_folder, write_tars
from tests.tiny_models import write_tiny_model

LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])


def shaded(n_images: int, seed: int = 0) -> np.ndarray:
    """Noisy images, each brighter than the one before, 6 × 5 pixels."""
    random = np.random.default_rng(seed)
    return (np.linspace(10, 200, n_images)[:, None, None, None] + random.integers(0, 50, (n_images, 6, 5, 3))).astype(np.uint8)


def test_properties_are_those_of_pillow_and_scipy() -> None:
    images = shaded(300)
    found = properties(images)
    for index in (0, 17, 299):
        grey = Image.fromarray(images[index]).convert("L")
        assert found["brightness"][index] == pytest.approx(ImageStat.Stat(grey).mean[0], abs=0.6)  # Pillow rounds each pixel
        assert found["contrast"][index] == pytest.approx(ImageStat.Stat(grey).stddev[0], abs=0.6)
        luma = images[index] @ np.array([0.299, 0.587, 0.114])
        assert found["sharpness"][index] == pytest.approx(convolve(luma, LAPLACIAN)[1:-1, 1:-1].var(), rel=1e-3)


def test_quarters_by_hand_and_with_ties() -> None:
    assert quarters(np.arange(8.0)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(set(quarters(np.ones(9)))) == 1


def test_a_model_that_fails_in_the_dark_is_told_so_and_of_no_other_quarter_of_brightness() -> None:
    images = shaded(400)
    right = np.random.default_rng(1).random(400) < np.where(np.arange(400) < 100, 0.5, 0.95)
    rows = slice_rows(images, {"a": right}).query("property == 'brightness'").set_index("quarter")
    assert rows["verdict"].to_dict()["lowest"] == WORSE
    assert WORSE not in rows["verdict"].drop("lowest").tolist()
    table = [[right[:100].sum(), (~right[:100]).sum()], [right[100:].sum(), (~right[100:]).sum()]]
    assert rows.loc["lowest", "p"] == pytest.approx(fisher_exact(table).pvalue)
    assert rows["holm_p"].ge(rows["p"]).all()


def test_two_models_are_compared_within_each_quarter() -> None:
    images = shaded(400)
    a, b = np.ones(400, bool), np.ones(400, bool)
    b[:40] = False
    rows = slice_rows(images, {"a": a, "b": b})
    pairs = rows[rows["model_b"].notna() & (rows["property"] == "brightness")].set_index("quarter")
    assert pairs.loc["lowest", "verdict"] == BETTER
    assert pairs.loc["lowest", "p"] == pytest.approx(binomtest(40, 40).pvalue)
    assert pairs["verdict"].drop("lowest").tolist() == [NO_DIFFERENCE] * 3


def test_a_model_that_fails_on_small_originals_is_told_so_by_the_shorter_side() -> None:
    images, random = shaded(400), np.random.default_rng(3)
    shorter, longer = random.permutation(np.arange(20, 420)), np.full(400, 500)
    sizes = np.where(random.random((400, 1)) < 0.5, np.stack([shorter, longer], 1), np.stack([longer, shorter], 1)).astype(np.int32)
    right = random.random(400) < np.where(shorter < 120, 0.5, 0.95)
    rows = slice_rows(images, {"a": right}, sizes)
    of_size = rows.query("property == 'original size'").set_index("quarter")
    assert of_size["verdict"].to_dict()["lowest"] == WORSE
    assert WORSE not in of_size["verdict"].drop("lowest").tolist()
    assert of_size[["lowest", "highest"]].to_numpy().tolist() == [[20, 119], [120, 219], [220, 319], [320, 419]]
    adjusted = holms_own(rows["p"].tolist())  # sixteen quarters are one question
    assert rows["holm_p"].tolist() == pytest.approx(adjusted)


def holms_own(p_values: list[float]) -> list[float]:
    """Holm's adjustment as he states it: the i-th smallest of m times m - i + 1, and none below one before it."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def test_images_that_are_all_alike_have_no_quarters() -> None:
    same_sizes = np.full((8, 2), 32, np.int32)
    assert slice_rows(np.zeros((8, 4, 4, 3), np.uint8), {"a": np.ones(8, bool)}, same_sizes).empty


@pytest.mark.parametrize("packed", [False, True])
def test_originals_of_differing_sizes_are_a_slice_of_a_run(packed: bool, tmp_path) -> None:
    """Class folders and tar files: each image is counted at the shorter side that its own file has."""
    sides = [8, 12, 16, 20] * 20
    images = [pictures(1, side, seed)[0] for seed, side in enumerate(sides)]
    labels = [CLASS_NAMES[index % 3] for index in range(80)]
    root = write_tars(tmp_path / "data", images, labels) if packed else write_folder(tmp_path / "data", images, labels)
    model = write_tiny_model(tmp_path / "a.onnx", class_names=CLASS_NAMES, dataset="data")
    run = evaluate([model], data=root, time_budget_s=0, slices=True, report=False, out=tmp_path / "runs")
    of_size = run.slices.query("property == 'original size'").set_index("quarter")
    assert of_size["n_images"].to_dict() == {"lowest": 20, "second": 20, "third": 20, "highest": 20}
    assert of_size["highest"].tolist() == [8, 12, 16, 20]
    logits, labels_u = run.predictions["a"]
    whole = open_dataset(str(root), image_size=(8, 8)).official("test")
    right, small = logits.argmax(axis=1) == labels_u, whole.original_sizes.min(axis=1) == 8
    assert of_size.loc["lowest", "accuracy"] == pytest.approx(right[small].mean())
    few = evaluate([model], data=root, time_budget_s=0, slices=True, limit=40, report=False, out=tmp_path / "runs").slices
    assert few.query("property == 'original size'")["n_images"].sum() == 40


def test_a_run_shows_and_keeps_the_slices(tmp_path, capsys) -> None:
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    paths = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, **common) for seed, name in enumerate("ab")]
    arguments = ["--models", *map(str, paths), "--data", "digits", "--time-budget", "0", "--limit", "80", "--slices", "--no-report"]
    assert main([*arguments, "--out", str(tmp_path / "runs")]) == 0
    assert "Where is it worst?" in capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    results = read_results(folder)
    alone = results.slices[results.slices["model_b"].isna()]
    accuracy = results.comparison.set_index("model")["top1_accuracy"]
    for (model, _), rows in alone.groupby(["model", "property"]):
        assert rows["n_images"].sum() == 80
        assert (rows["accuracy"] * rows["n_images"]).sum() / 80 == pytest.approx(accuracy[model])
