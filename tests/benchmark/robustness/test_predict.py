"""Corrupted versions in a whole run: the table is what the models say of these versions, and a run by default has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmark import evaluate
from benchmark.images import draw
from benchmark.results import Results
from data import open_dataset
from data.corruptions.registry import corrupted
from models.runtimes.opening import open_model
from tests.made_run import results

DIGITS = open_dataset("digits")
EYE = 3 * np.eye(len(DIGITS.class_names))


@pytest.fixture(scope="module")
def run(paths: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two files, their ensemble, a function, and predictions that something else made."""
    folder = tmp_path_factory.mktemp("runs")
    said = np.random.default_rng(0).normal(size=(len(DIGITS.labels("test")), len(EYE))).astype(np.float32)
    np.savez(folder / "said.npz", logits=said, class_names=np.array(DIGITS.class_names), index=np.arange(len(said)))
    function = open_model(
        lambda images_u8: EYE[images_u8.sum(axis=(1, 2, 3)) % len(EYE)], class_names=DIGITS.class_names, name="sum"
    )
    return evaluate(
        [*paths, function], predictions={"said": folder / "said.npz"}, data="digits", time_budget_s=0, limit=60, corrupt=40,
        ensemble="mean", baseline="b", out=folder,
    )  # fmt: skip


def test_accuracy_is_what_the_models_say_of_these_versions(run: Results, paths: list[Path]) -> None:
    test = DIGITS.split("test", 0, draw(len(DIGITS.labels("test")), 60, 0))
    chosen = test.take(draw(60, 40, 0))
    session = onnxruntime.InferenceSession(str(paths[1]), providers=["CPUExecutionProvider"])
    rows = run.robustness.set_index(["model", "corruption", "severity"])["accuracy"]
    for name, severity in (("shot_noise", 5), ("contrast", 2), ("pixelate", 3)):
        images_u8 = corrupted(chosen.images_u8, name, severity)
        (logits,) = session.run(["logits"], {"images": images_u8})
        assert rows["b", name, severity] == pytest.approx((logits.argmax(axis=1) == chosen.labels).mean())
        said = images_u8.sum(axis=(1, 2, 3)) % len(EYE)
        assert rows["sum", name, severity] == pytest.approx((said == chosen.labels).mean())
    assert len(run.robustness) == 51 * run.robustness["model"].nunique()


def test_tables_picture_page_and_notes_tell_of_it(run: Results) -> None:
    summary = run.robustness_summary.set_index("model")
    assert set(summary.index) == {"a", "b", "sum", "a+b", "a+sum", "b+sum", "a+b+sum"}  # none with the predictions of a file
    assert set(summary["baseline"]) == {"b"}
    assert summary.loc["b", "relative_error"] == 1
    assert run.comparison.set_index("model").loc["a", "corrupted_accuracy"] == summary.loc["a", "corrupted_accuracy"]
    assert (run.folder / "plots" / "robustness.png").stat().st_size > 10_000
    assert "Accuracy against severity" in (run.folder / "report.html").read_text(encoding="utf-8")
    assert any("40 of the 60 images" in note for note in run.notes)
    assert any("said: only its predictions are known" in note for note in run.notes)


def test_a_run_by_default_corrupts_nothing() -> None:
    run = results(("a", "b"))
    assert run.robustness.empty
    assert not [name for name in run.tables if name.startswith("robustness")]
    assert run.comparison["corrupted_accuracy"].isna().all()
