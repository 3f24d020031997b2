"""A history can be read back as it was, in plain decimals, and is drawn."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from train.curves import Epoch, plot_history, write_history, write_range_test

HISTORY = [Epoch(1, 2.5, 0.1, 2.0, 0.25, 5.59e-7, 712.25, 60.5), Epoch(2, 1e20, 0.3, 1.5, 1.0, 1e-4, 699.0, 121.0)]


def test_history_reads_back_in_plain_decimals(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", HISTORY)
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr", "images_per_s", "elapsed_s",
    ]  # fmt: skip
    for row, epoch in zip(rows, HISTORY, strict=True):
        assert "e" not in "".join(row.values())
        assert [float(value) for value in row.values()] == pytest.approx(dataclasses.astuple(epoch))


def test_range_test_reads_back(tmp_path: Path) -> None:
    write_range_test(tmp_path / "lr.csv", [1e-6, 1e-5], [2.5, 2.25])
    assert b"\r" not in (tmp_path / "lr.csv").read_bytes()
    assert (tmp_path / "lr.csv").read_text().split() == ["lr,smoothed_loss", "0.000001,2.5", "0.00001,2.25"]


@pytest.mark.parametrize(
    ("quantity", "train", "validation"), [("accuracy", [0.1, 0.3], [0.25, 1.0]), ("loss", [2.5, 3.0], [2.0, 1.5])]
)
def test_a_picture_draws_both_splits_by_epoch_and_marks_the_weights_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantity: str, train: list[float], validation: list[float]
) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr("train.curves.save_figure", lambda figure, path: drawn.update({path.name: figure.axes[0]}))
    plot_history(tmp_path, [HISTORY[0], dataclasses.replace(HISTORY[1], train_loss=3.0)], best_epoch=2)
    lines = {line.get_label(): line for line in drawn[f"{quantity}.png"].get_lines()}
    assert [list(lines[split].get_xdata()) for split in ("train", "validation")] == [[1, 2]] * 2
    assert (list(lines["train"].get_ydata()), list(lines["validation"].get_ydata())) == (train, validation)
    assert set(lines["weights kept"].get_xdata()) == {2}


@pytest.mark.parametrize("n_epochs", [1, 2])
def test_curves_are_pictures(tmp_path: Path, n_epochs: int) -> None:
    plot_history(tmp_path, HISTORY[:n_epochs], best_epoch=n_epochs)
    for name in ("accuracy.png", "loss.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
