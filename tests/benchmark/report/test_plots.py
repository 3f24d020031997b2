"""Pictures hold all of their text whatever the names, and what cannot be drawn is a note."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from PIL import Image

from benchmark.accuracy.metrics import Accuracy, measure
from benchmark.report import plots
from benchmark.report.plots import MOST_RECALL_CLASSES, Recall, confusions, recall_bars, recalls, write_plots
from benchmark.report.tables import confusion_rows, per_class_rows
from benchmark.results import Results
from core import figures
from core.environment import REPOSITORY
from core.records import Predictions

NO_LATENCY = pd.DataFrame({"provider": [], "batch_size": [], "latency_p50_ms": []})


def accuracy(model: str, n_classes: int, seed: int = 0) -> Accuracy:
    labels = np.arange(4 * n_classes) % n_classes
    logits = np.random.default_rng(seed).normal(0, 1, (len(labels), n_classes))
    logits[np.arange(len(labels)), labels] += 2
    return measure(Predictions(model, "test", "sha", logits.astype(np.float32)), labels)


def recall(model: str, n_classes: int, seed: int = 0) -> Recall:
    found = accuracy(model, n_classes, seed)
    return Recall(model, found.recall, found.recall_ci95)


def results(accuracies: list[Accuracy], class_names: tuple[str, ...], comparison: pd.DataFrame = NO_LATENCY) -> Results:
    dataset = {"name": "data", "split": "test", "class_names": list(class_names)}
    tables = {
        "comparison.csv": comparison,
        "per_class.csv": per_class_rows(accuracies, class_names),
        "confusion.csv": confusion_rows(accuracies, class_names),
    }
    return Results(Path("none"), {"dataset": dataset}, tables)


def test_pictures_show_what_was_measured() -> None:
    made = [accuracy(name, 4, seed) for seed, name in enumerate(("nan", "b"))]
    found = results(made, ("0", "None", "c", "d"))
    for one in made:
        np.testing.assert_array_equal(confusions(found)[one.model], one.confusion)
        np.testing.assert_array_equal(recalls(found)[one.model].recall, one.recall)
        np.testing.assert_array_equal(recalls(found)[one.model].recall_ci95, one.recall_ci95)


def timed(models: list[str]) -> pd.DataFrame:
    rows = [
        {"model": name, "kind": "single", "provider": "CPUExecutionProvider", "device_name": "a CPU", "batch_size": 1,
         "latency_p50_ms": 1.0 + i, "latency_p50_ci95_low_ms": 0.9 + i, "latency_p50_ci95_high_ms": 1.2 + i, "top1_accuracy": 0.9,
         "top1_ci95_low": 0.8, "top1_ci95_high": 0.95, "on_pareto_front": i == 0}
        for i, name in enumerate(models)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "names",
    [
        ("no", "yes"),
        tuple(f"{'a very long class name ' * 3}{i}" for i in range(7)),
        tuple(f"class {i}" for i in range(60)),
        ("$x", "b$", "$a$", r"\frac{", "[red]", "ß é Ω я"),
    ],
    ids=["two", "long", "many", "signs"],
)
def test_nothing_is_cut_at_an_edge(names: tuple[str, ...], tmp_path: Path) -> None:
    """A white margin on every side of every picture: text that leaves the picture would colour its edge."""
    models = ["m$a$[int8]", "a_model_whose_name_is_long_" * 4]
    accuracies = [accuracy(model, len(names), index) for index, model in enumerate(models)]
    notes = write_plots(tmp_path, results(accuracies, names, timed(models)))
    assert notes == []
    pictures = list(tmp_path.glob("*.png"))
    assert len(pictures) == 4
    for path in pictures:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
        for edge in (pixels[:5], pixels[-5:], pixels[:, :5], pixels[:, -5:]):
            assert edge.min() == 255, path.name


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    kept: list[Figure] = []
    save = figures.save_figure
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: (save(figure, path), kept.append(figure)))
    return kept


@pytest.mark.parametrize(("n_models", "n_classes", "length"), [(1, 2, 3), (3, 10, 12), (8, 12, 40)])
def test_the_legend_lies_over_no_label(n_models: int, n_classes: int, length: int, drawn: list[Figure], tmp_path: Path) -> None:
    names = tuple(f"{index}".rjust(length, "c") for index in range(n_classes))
    recall_bars(tmp_path / "r.png", [recall("m" * 20 + str(i), n_classes, i) for i in range(n_models)], names, "data test")
    (figure,) = drawn
    axes, legend = figure.axes[0], figure.legends[0]
    lowest = min(text.get_window_extent().y0 for text in (axes.xaxis.label, *axes.get_xticklabels()))
    assert legend.get_window_extent().y1 <= lowest


def test_of_many_classes_the_hardest_are_shown_and_named(drawn: list[Figure], tmp_path: Path) -> None:
    n_classes = MOST_RECALL_CLASSES + 20
    found = recall("m", n_classes)
    recall_bars(tmp_path / "r.png", [found], tuple(f"c{i}" for i in range(n_classes)), "data test")
    axes = drawn[0].axes[0]
    shown = [int(label.get_text()[1:]) for label in axes.get_xticklabels()]
    assert len(shown) == MOST_RECALL_CLASSES
    hidden = sorted(set(range(n_classes)) - set(shown))
    assert found.recall[shown].max() <= found.recall[hidden].min()
    assert f"the {MOST_RECALL_CLASSES} of {n_classes} classes with the lowest recall" in axes.get_title()


def test_characters_that_no_font_has_are_one_note_and_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private use characters are in no font; `filterwarnings = error` makes any warning of matplotlib's fail this."""
    monkeypatch.setattr(figures, "_fonts", lambda: (figures._default_font(),))
    figures._font_with.cache_clear()
    notes = write_plots(tmp_path, results([accuracy("\ue123", 2)], ("\ue001\ue002", "翘头剪")))
    figures._font_with.cache_clear()
    assert len(notes) == 1
    assert notes[0].startswith("no font here has \ue001\ue002翘头剪\ue123: boxes stand for them in plots")
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_a_font_of_the_machine_that_has_the_characters_is_used(drawn: list[Figure], tmp_path: Path) -> None:
    """STIX comes with matplotlib and has mathematical letters that DejaVu Sans lacks."""
    sign = next(
        chr(code)
        for code in sorted(figures._characters(findfont("STIXGeneral")))
        if code not in figures._characters(findfont("DejaVu Sans")) and code > 0x2000
    )
    assert figures.unprintable([f"a{sign}"]) == ""
    assert "DejaVuSans.ttf" not in str(figures.font_file(sign * 3))
    assert "DejaVuSans.ttf" in str(figures.font_file("plain"))
    recall_bars(tmp_path / "r.png", [recall("m", 2)], (f"{sign}{sign}", "plain"), "data test")
    labels = drawn[0].axes[0].get_xticklabels()
    assert labels[0].get_fontfamily()[0] == "DejaVu Sans"
    assert len(labels[0].get_fontfamily()) > 1


def test_a_plot_that_fails_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, **others: object) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr(plots, "recall_bars", broken)
    notes = write_plots(tmp_path, results([accuracy("m", 2)], ("a", "b")))
    assert notes == ["plots/recall_per_class.png could not be drawn (too large); its figures are in the tables"]
    assert [path.name for path in tmp_path.glob("*.png")] == ["confusion_m.png"]


def test_names_too_long_for_a_file_are_cut_and_stay_apart() -> None:
    named = plots.file_names("é" * 200 + ending for ending in ("+a", "+b"))
    assert len(set(named.values())) == 2
    assert max(len(name.encode()) for name in named.values()) <= 200
    assert plots.file_names(["a+b (weighted)"]) == {"a+b (weighted)": "a+b_weighted"}


@given(st.lists(st.sampled_from(["m (x)", "m_x", "m)", "m", "m (x) (x)", "m_x (x)", "a (", "m_x_x"]), unique=True))
def test_no_two_models_share_a_picture(models: list[str]) -> None:
    assert len(set(plots.file_names(models).values())) == len(models)


def test_matplotlib_is_silent_without_a_home(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path; from core.figures import confusion_heatmap; "
        "confusion_heatmap(Path(sys.argv[1]), np.eye(2, dtype=int), ('\\ue001', 'b'), 't')"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c.png")],
        capture_output=True, text=True, cwd=REPOSITORY, env={**environment, "HOME": "/nonexistent"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "c.png").exists()
