"""Figures are drawn without a screen, repeat byte for byte, and put their numbers where they belong."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from core import figures
from core.errors import UserError
from core.figures import confusion_heatmap, new_figure, save_figure


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        figure, axes = new_figure()
        axes.plot([1, 2, 3])
        save_figure(figure, tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as picture:
        assert "Software" not in picture.info


def test_a_picture_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_: Figure, path: Path, **__: object) -> None:
        Path(path).write_bytes(b"\x89PNG")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(UserError, match="free some space"):
        save_figure(new_figure()[0], tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_no_pyplot_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # an import of it would raise
    confusion_heatmap(tmp_path / "c.png", np.eye(2, dtype=np.int64), ("a", "b"), "title")
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.width > 100


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    kept: list[Figure] = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: kept.append(figure))
    return kept


def test_rows_are_true_classes_and_colours_are_recall(drawn: list[Figure], tmp_path: Path) -> None:
    confusion = np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]])  # the third class has no images
    confusion_heatmap(tmp_path / "c.png", confusion, ("ant", "bee", "cow"), "title")
    axes = drawn[0].axes[0]
    percent = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(percent, [[80, 20, 0], [0, 100, 0], [0, 0, 0]])
    assert drawn[0].axes[1].get_ylabel() == "colour: % of the true class's images"
    assert axes.get_title() == "title\nnumbers: images"
    cells = {(text.get_position()): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "8", (1, 0): "2", (1, 1): "5"}  # (column, row): two ants taken for bees lie in column 1
    assert axes.get_ylabel() == "true class"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ant", "bee", "cow"]


@pytest.mark.parametrize(("n_classes", "annotated"), [(2, True), (20, True), (21, False), (100, False)])
def test_counts_stand_only_where_they_can_be_read(drawn: list[Figure], tmp_path: Path, n_classes: int, annotated: bool) -> None:
    names = tuple(f"a rather long class name {index}" for index in range(n_classes))
    confusion_heatmap(tmp_path / "c.png", np.eye(n_classes, dtype=np.int64), names, "title")
    axes = drawn[0].axes[0]
    assert bool(axes.texts) == annotated
    assert len(axes.get_yticks()) <= figures.MOST_NAMED_CLASSES
    assert max(len(label.get_text()) for label in axes.get_yticklabels()) <= 24


def test_a_dollar_in_a_name_is_no_formula(tmp_path: Path) -> None:
    confusion_heatmap(tmp_path / "c.png", np.eye(2, dtype=np.int64), (r"$\x{", "b$"), "title")
    assert (tmp_path / "c.png").exists()


def test_a_matrix_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        confusion_heatmap(tmp_path / "c.png", np.eye(2, dtype=np.int64), ("a", "b", "c"), "title")
    assert not (tmp_path / "c.png").exists()
