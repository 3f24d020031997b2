"""Accuracy with and without the images left out, against counting among the stored predictions of a run with every image."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmark.command import main
from benchmark.results import Results, read_results
from core.errors import UserError
from data import open_dataset
from tests.tiny_models import write_tiny_model

DIGITS = open_dataset("digits")
N_IMAGES = 60


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    common = {"image_height": 32, "image_width": 32, "class_names": DIGITS.class_names, "dataset_sha256": DIGITS.fingerprints()}
    paths = [write_tiny_model(folder / f"{name}.onnx", seed=seed, **common) for seed, name in enumerate("ab")]
    return [
        "--models", *map(str, paths), "--data", "digits", "--time-budget", "0", "--limit", str(N_IMAGES), "--ensemble", "mean",
        "--out", str(folder / "runs"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(arguments: list[str]) -> Results:
    """The run with every image."""
    assert main(arguments) == 0
    return read_results(max((Path(arguments[-1])).iterdir()))


def test_each_list_is_counted_by_itself_and_all_together(
    arguments: list[str], whole: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = _files(whole)
    listed = {"one.csv": names[:20], "two.csv": names[15:40]}
    for name, files in listed.items():
        (tmp_path / name).write_text("\n".join(["file", *files]))
    paths = [str(tmp_path / name) for name in listed]
    assert main([*arguments[:-1], str(tmp_path / "runs"), "--exclude", *paths]) == 0
    said = capsys.readouterr().out
    assert "What leaving images out changes" in said
    results = read_results(next((tmp_path / "runs").iterdir()))
    rows = results.exclusions.set_index(["model", "left_out"])
    without = {"nothing": np.arange(60), paths[0]: np.arange(20, 60), paths[1]: np.r_[:15, 40:60]}
    without[" + ".join(paths)] = np.arange(40, 60)
    assert len(rows) == 3 * len(without)
    for model in ("a", "b", "a+b"):
        predicted = whole.predictions[model]
        right = predicted.logits.argmax(axis=1) == predicted.labels
        for left_out, kept in without.items():
            row = rows.loc[(model, left_out)]
            assert (row["n_images"], row["n_left_out"]) == (len(kept), 60 - len(kept))
            assert row["accuracy"] == pytest.approx(right[kept].mean())
            assert row["gain"] == pytest.approx(right[kept].mean() - right.mean())
        assert results.comparison.set_index("model").loc[model, "top1_accuracy"] == pytest.approx(right[40:].mean())
    assert "With and without images that were left out" in (results.folder / "report.html").read_text()


def test_lists_that_name_no_image_here_leave_no_table(arguments: list[str], whole: Results, tmp_path: Path) -> None:
    (tmp_path / "others.csv").write_text("file\nsomewhere/else.png\n")
    assert main([*arguments[:-1], str(tmp_path / "runs"), "--no-report", "--exclude", str(tmp_path / "others.csv")]) == 0
    results = read_results(next((tmp_path / "runs").iterdir()))
    assert results.exclusions.empty
    assert any("0 of 60 test images are in" in note for note in results.run["notes"])
    np.testing.assert_array_equal(results.predictions["a"].logits, whole.predictions["a"].logits)


def test_to_leave_out_every_image_is_refused(arguments: list[str], whole: Results, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("\n".join(["file", *_files(whole)]))
    with pytest.raises(UserError, match="leaves none of the 60 test images of digits"):
        main([*arguments[:-1], str(tmp_path / "runs"), "--exclude", str(tmp_path / "all.csv")])
    assert not (tmp_path / "runs").exists()


def _files(results: Results) -> list[str]:
    import gzip

    with gzip.open(results.folder / "images.csv.gz", "rt", newline="") as file:
        return [row["file"] for row in csv.DictReader(file)]
