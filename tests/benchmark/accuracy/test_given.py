"""Predictions and functions are models: what they say counts as if an ONNX file had said it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from benchmark.results import Results
from benchmark.run import evaluate
from core.cli import USAGE
from core.errors import UserError
from core.records import UInt8Array
from data import open_dataset
from models import open_model
from tests.commands import in_this_process
from tests.tiny_models import write_tiny_model

DIGITS = open_dataset("digits")
SCORES = ["top1_accuracy", "top1_ci95_low", "top1_ci95_high", "macro_f1", "nll", "ece_15bin"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    facts = {"image_height": 32, "image_width": 32, "class_names": DIGITS.class_names, "dataset_sha256": DIGITS.fingerprints()}
    return [write_tiny_model(folder / f"{name}.onnx", seed=seed, temperature=20.0, **facts) for seed, name in enumerate("ab")]


@pytest.fixture(scope="module")
def tables(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each model says of the digits' test and validation images, as somebody else would have saved it."""
    folder = tmp_path_factory.mktemp("tables")
    made = {}
    for path in models:
        frames = []
        for split in ("test", "validation"):
            images = DIGITS.split(split)  # type: ignore[arg-type]
            frame = pd.DataFrame(open_model(path).predict(images.images_u8).logits, columns=images.class_names)
            named = [name.split("/") for name in images.image_names]
            frame.insert(0, "index", [int(index) for _, index in named])
            frame.insert(1, "split", [official for official, _ in named])
            frames.append(frame.sample(frac=1, random_state=0))
        for name, some in ((f"{path.stem}_test", frames[:1]), (f"{path.stem}_both", frames)):
            made[name] = folder / f"{name}.csv"
            pd.concat(some).to_csv(made[name], index=False)
    return made


def scores(results: Results) -> pd.DataFrame:
    return results.comparison.set_index("model")[SCORES]


def test_predictions_of_a_model_are_as_good_as_the_model(models: list[Path], tables: dict[str, Path]) -> None:
    both = evaluate(models, predictions={"a2": tables["a_test"]}, data="digits", ensemble="mean", time_budget_s=0, out=None)
    pd.testing.assert_series_equal(scores(both).loc["a2"], scores(both).loc["a"], check_names=False, rtol=1e-5)
    pd.testing.assert_series_equal(scores(both).loc["b+a2"], scores(both).loc["a+b"], check_names=False, rtol=1e-5)
    pairs = both.pairs.set_index(["model_a", "model_b"])
    assert pairs.loc[("a", "a2"), ["only_a_right", "only_b_right"]].tolist() == [0, 0]
    row = both.comparison.set_index("model").loc["a2"]
    assert (row["backend"], row["kind"]) == ("predictions", "single")
    assert pd.isna(row["size_mb"])
    assert pd.isna(row["latency_p50_ms"])


def test_predictions_alone_are_a_benchmark(tables: dict[str, Path], tmp_path: Path) -> None:
    named = [f"{name}={tables[f'{name}_test']}" for name in "ab"]
    done = in_this_process("benchmark", "--predictions", *named, "--data", "digits", "--ensemble", cwd=tmp_path, COLUMNS="140")
    assert done.returncode == 0, done.stderr
    assert "a, b: predictions of a file, without latency; the answer leaves out these and ensembles with them" in " ".join(
        done.stdout.split()
    )
    (folder,) = (tmp_path / "results").iterdir()
    table = pd.read_csv(folder / "comparison.csv")
    assert table["model"].tolist() == ["a", "b", "a+b", "oracle"]
    assert table["latency_p50_ms"].isna().all()
    assert table["dataset"].eq("digits").all()
    verdicts = done.stdout.split("Is the difference real?")[1]
    asked = pd.read_csv(folder / "pairs.csv").query("family != 'other ensembles'")
    assert verdicts.count("vs ") == len(asked) == 2
    assert "more row" not in verdicts


def test_ensembles_are_tuned_only_where_the_validation_images_were_predicted_too(
    models: list[Path], tables: dict[str, Path], tmp_path: Path
) -> None:
    asked = {name: tables[f"{name}_test"] for name in "ab"}
    with pytest.raises(UserError, match="has no row for 145 of 145 validation images"):
        evaluate(predictions=asked, data="digits", ensemble="weighted", time_budget_s=0, out=tmp_path / "results")
    assert not (tmp_path / "results").exists()
    asked = {name: tables[f"{name}_both"] for name in "ab"}
    supplied = evaluate(predictions=asked, data="digits", ensemble=["weighted", "greedy"], time_budget_s=0, out=None)
    of_files = evaluate(models, data="digits", ensemble=["weighted", "greedy"], time_budget_s=0, out=None)
    pd.testing.assert_frame_equal(scores(supplied), scores(of_files), rtol=1e-4)


def logits_of(images_u8: UInt8Array) -> np.ndarray:
    """Darkness of the ten lowest rows: a function as anyone might have one."""
    return images_u8.mean(axis=(2, 3))[:, :10] / 16.0


def test_a_function_is_a_model_with_latency(models: list[Path]) -> None:
    train, test = DIGITS.split("train"), DIGITS.split("test")
    flat = train.images_u8.reshape(len(train), -1)[:, ::16] / 255
    fitted = LogisticRegression(max_iter=300).fit(flat, train.labels)

    def logistic(images_u8: UInt8Array) -> np.ndarray:
        return np.asarray(fitted.decision_function(images_u8.reshape(len(images_u8), -1)[:, ::16] / 255))

    function = open_model(logistic, class_names=DIGITS.class_names)
    assert "a+logistic" in set(
        evaluate([models[0], function], data="digits", ensemble="mean", time_budget_s=0, out=None).comparison["model"]
    )
    results = evaluate(function, data="digits", time_budget_s=2, batch_sizes=(1,), out=None)
    table = results.comparison[results.comparison["model"] == "logistic"]
    said = logistic(test.images_u8).astype(np.float32)
    assert table["top1_accuracy"].iloc[0] == pytest.approx(accuracy_score(test.labels, said.argmax(axis=1)))
    assert table["nll"].iloc[0] == pytest.approx(
        log_loss(test.labels, open_model(logistic, class_names=range(10)).predict(test.images_u8)[1]), rel=1e-4
    )
    assert table["provider"].eq("Python").all()
    assert (table["latency_p50_ms"] > 0).all()
    assert results.answers == [
        f"answer, at batch 1 on Python: {_only('logistic', table)} is the only model; there is nothing to choose"
    ]


def _only(model: str, table: pd.DataFrame) -> str:
    row = table.iloc[0]
    return f"{model} ({100 * row['top1_accuracy']:.2f} %, {row['latency_p50_ms']:.3g} ms)"


def test_classes_of_a_function_are_matched_by_name() -> None:
    order = list(reversed(DIGITS.class_names))
    straight = evaluate(open_model(logits_of, class_names=DIGITS.class_names), data="digits", time_budget_s=0, out=None)
    turned = open_model(lambda images_u8: logits_of(images_u8)[:, ::-1], class_names=order, name="logits_of")
    pd.testing.assert_frame_equal(scores(evaluate(turned, data="digits", time_budget_s=0, out=None)), scores(straight))


def test_what_is_no_model_is_one_line(models: list[Path], tmp_path: Path) -> None:
    for wrong, said in (
        (logits_of, r"a function is no model yet: pass open_model\(FUNCTION, class_names"),
        (open_model(models[0]), r"a\.onnx is open already; pass its path"),
        (open_model(logits_of, class_names=[*DIGITS.class_names[:9], "x"]), "it lacks 9; unknown here: x"),
    ):
        with pytest.raises(UserError, match=said):
            evaluate([wrong], data="digits", time_budget_s=0, out=tmp_path / "results")
    with pytest.raises(UserError, match="models is an empty list"):
        evaluate([], data="digits")
    for arguments in (["--predictions", "a.csv"], ["--predictions", "=a.csv"]):
        done = in_this_process("benchmark", *arguments, cwd=tmp_path)
        assert done.returncode == USAGE
        assert "is not NAME=FILE, such as theirs=predictions.csv" in done.stderr


@pytest.mark.parametrize("name", ["../victim", "/tmp/victim", "..", "a\nanswer: deploy b", "a\x1b[31m", "a\udcff", "a" * 300])
def test_what_is_no_name_of_a_file_names_no_model_because_files_are_named_after_it(name: str, tmp_path: Path) -> None:
    scores = np.zeros((len(DIGITS.split("test")), 10))
    np.savez(tmp_path / "p.npz", logits=scores, class_names=np.array(DIGITS.class_names), index=np.arange(len(scores)))
    done = in_this_process("benchmark", "--data", "digits", "--predictions", f"{name}={tmp_path / 'p.npz'}", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (USAGE, 1)
    assert "names a model, so it must be a name of at most 240 bytes, without slashes and control characters" in done.stderr
    function = open_model(lambda images_u8: np.zeros((len(images_u8), 10)), class_names=DIGITS.class_names, name=name)
    for models in ({"predictions": {name: tmp_path / "p.npz"}}, {"models": function}):
        with pytest.raises(UserError, match="files are named after it"):
            evaluate(**models, data="digits", time_budget_s=0, out=tmp_path / "results")
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]
