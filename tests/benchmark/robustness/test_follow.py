"""Perturbed sequences in a whole run: flips are those of what the models say of these frames, and a run by default has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmark import evaluate
from benchmark.command import main
from benchmark.images import draw
from benchmark.results import Results, read_results
from benchmark.robustness import follow
from core.errors import UserError
from data import open_dataset
from tests.made_run import results
from tests.perturbed import write_sequences

DIGITS = open_dataset("digits")
NAMES = ("gaussian_noise", "translate", "shear")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sequences(tmp_path_factory.mktemp("sequences"), DIGITS.official("test").images_u8, NAMES)


@pytest.fixture(scope="module")
def run(paths: list[Path], folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two files, their ensemble, and predictions that something else made; the images come in parts of seven."""
    out = tmp_path_factory.mktemp("runs")
    said = np.random.default_rng(0).normal(size=(len(DIGITS.labels("test")), 10)).astype(np.float32)
    np.savez(out / "said.npz", logits=said, class_names=np.array(DIGITS.class_names), index=np.arange(len(said)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow, "AT_ONCE", 7)
        return evaluate(
            paths, predictions={"said": out / "said.npz"}, data="digits", time_budget_s=0, limit=60, perturbed=40,
            perturbed_from=folder, ensemble="mean", baseline="b", out=out,
        )  # fmt: skip


def test_flips_are_those_of_what_the_models_say_of_these_frames(run: Results, paths: list[Path], folder: Path) -> None:
    chosen = draw(len(DIGITS.labels("test")), 60, 0)[draw(60, 40, 0)]
    rows = run.flips.set_index(["model", "perturbation"])["flip_probability"]
    sessions = {path.stem: onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in paths}
    expected: dict[str, list[float]] = {}
    for name in NAMES:
        frames = np.load(folder / f"{name}.npy")[chosen]
        images = {"images": frames.reshape(-1, 32, 32, 3)}
        said = {model: session.run(["probabilities"], images)[0] for model, session in sessions.items()}
        said["a+b"] = (said["a"] + said["b"]) / 2
        for model, probabilities in said.items():
            answers = probabilities.argmax(axis=1).reshape(40, 5)
            held_to = answers[:, [0, 0, 0, 0]] if name == "gaussian_noise" else answers[:, :-1]
            flips = float((answers[:, 1:] != held_to).mean())
            assert rows[model, name] == pytest.approx(flips)
            expected.setdefault(model, []).append(flips)
    for model, (noise, translate, _) in expected.items():
        assert rows[model, "mean"] == pytest.approx((noise + translate) / 2)
    assert 0 < rows["a", "mean"] < 1


def test_tables_notes_and_page_tell_of_it(run: Results) -> None:
    assert set(run.flips["model"]) == {"a", "b", "a+b"}
    assert set(run.flips["baseline"]) == {"b"}
    assert run.flips.query("model == 'b' and perturbation == 'mean'")["flip_rate"].tolist() == [1]
    assert read_results(run.folder).flips.equals(run.flips)
    assert read_results(run.folder).flips_pairs.equals(run.flips_pairs)
    for said in ("said: only its predictions", "40 of the 60 images", "2 of CIFAR-10-P's 10 perturbations", "of the frames ("):
        assert any(said in note for note in run.notes), said
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Perturbed sequences: how often each answer flips" in page


def test_the_command_prints_the_table(paths: list[Path], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["--models", *map(str, paths), "--data", "digits", "--limit", "20", "--time-budget", "0", "--no-report"]
    assert main([*typed, "--perturbed-from", str(folder), "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "How often does the answer flip? CIFAR-10-P, 20 images" in shown
    assert "mean of 2 perturbations (mFP)" in " ".join(shown.split())
    with pytest.raises(UserError, match="add --perturbed-from DIR"):
        main([*typed, "--perturbed", "5", "--out", str(tmp_path)])


def test_a_run_by_default_follows_nothing() -> None:
    run = results(("a", "b"))
    assert run.flips.empty
    assert run.flips_pairs.empty
    assert not [name for name in run.tables if name.startswith("flips")]
