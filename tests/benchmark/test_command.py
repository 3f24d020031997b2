"""The command as a user types it, on small contract models of the bundled digits."""

import contextlib
import io
import json
import sys
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import pytest

from benchmark.accuracy.pairs import OTHER_ENSEMBLES
from benchmark.command import main
from core.cli import USAGE
from core.environment import available_cores
from data import open_dataset
from tests.commands import arrays_of, in_this_process
from tests.planted_machine import PlantedMachine
from tests.tiny_models import write_tiny_model


def refused(done: CompletedProcess[str], *parts: str, status: int = 1) -> None:
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    digits = open_dataset("digits")
    for seed, name in enumerate(["one", "two"]):
        write_tiny_model(
            folder / f"{name}.onnx",
            seed=seed,
            image_height=32,
            image_width=32,
            class_names=digits.class_names,
            dataset="digits",
            dataset_sha256=digits.fingerprints(),
            temperature=20.0,
        )
    return folder


@pytest.fixture(scope="module")
def run(models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run in this process on a machine whose calls take known times: its folder and what it printed."""
    out, stdout = tmp_path_factory.mktemp("results"), io.StringIO()
    arguments = ["--ensemble", "--data", "digits", "--models-dir", models, "--out", out, "--batch-sizes", 1, 8, "--time-budget", 40]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stdout):
        PlantedMachine({"one": 0.003, "two": 0.005, "ensemble_0": 0.007}, noise=0.02).install(patch)
        assert main(list(map(str, arguments))) == 0
    (folder,) = out.iterdir()
    return folder, stdout.getvalue()


def test_a_run_leaves_every_file(run) -> None:
    folder, stdout = run
    wanted = {"comparison.csv", "per_class.csv", "confusion.csv", "latency.csv", "pairs.csv", "latency_samples.csv.gz", "run.json"}
    assert wanted <= {path.name for path in folder.iterdir()}
    assert {path.name for path in (folder / "predictions").iterdir()} == {"one.npz", "two.npz"}
    assert {"confusion_one.png", "confusion_one+two.png", "recall_per_class.png", "pareto_cpu_batch1.png"} <= {
        path.name for path in (folder / "plots").iterdir()
    }
    assert str(folder) in stdout


def test_the_comparison_has_a_row_per_model_and_batch_size(run) -> None:
    frame = pd.read_csv(run[0] / "comparison.csv")
    assert frame["kind"].value_counts().to_dict() == {"single": 4, "ensemble": 2, "oracle": 1}
    oracle, frame = frame[frame["kind"] == "oracle"].iloc[0], frame[frame["kind"] != "oracle"]
    assert frame.loc[frame["kind"] == "single", "top1_accuracy"].max() <= oracle["top1_accuracy"]
    assert pd.isna(oracle["latency_p50_ms"])
    assert pd.isna(oracle["nll"])
    assert sorted(frame["batch_size"].unique()) == [1, 8]
    assert (frame["latency_p50_ci95_low_ms"] <= frame["latency_p50_ms"]).all()
    assert (frame["latency_p50_ms"] <= frame["latency_p50_ci95_high_ms"]).all()
    assert frame["provider"].unique().tolist() == ["CPUExecutionProvider"]
    assert frame.groupby("batch_size")["on_pareto_front"].any().all()


def test_the_tables_can_be_made_again_from_the_kept_predictions(run) -> None:
    folder, _ = run
    test = open_dataset("digits").official("test")
    confusion = pd.read_csv(folder / "confusion.csv", dtype={"true_class": str, "predicted_class": str})
    comparison = pd.read_csv(folder / "comparison.csv").drop_duplicates("model").set_index("model")
    probabilities = []
    for name in ("one", "two"):
        kept = arrays_of(folder / "predictions" / f"{name}.npz")
        np.testing.assert_array_equal(kept["labels"], test.labels)
        assert str(kept["dataset_sha256"]) == test.sha256 == comparison.loc[name, "dataset_sha256"]
        assert comparison.loc[name, "top1_accuracy"] == pytest.approx(
            (kept["logits"].argmax(axis=1) == test.labels).mean(), abs=1e-6
        )
        shifted = np.exp(kept["logits"] - kept["logits"].max(axis=1, keepdims=True))
        probabilities.append(shifted / shifted.sum(axis=1, keepdims=True))
    ensemble_right = (np.mean(probabilities, axis=0).argmax(axis=1) == test.labels).mean()
    assert comparison.loc["one+two", "top1_accuracy"] == pytest.approx(ensemble_right, abs=1e-6)
    per_class = confusion[confusion["model"] == "one"].groupby("true_class")["count"].sum()
    assert per_class.tolist() == np.bincount(test.labels).tolist()


def test_every_timed_call_is_kept_and_makes_the_latency_table(run) -> None:
    folder, _ = run
    samples = pd.read_csv(folder / "latency_samples.csv.gz")
    table = pd.read_csv(folder / "latency.csv").set_index(["model", "batch_size"])
    timed = samples[samples["phase"] == "timed"]
    for key, group in timed.groupby(["model", "batch_size"]):
        assert table.loc[key, "n_samples"] == len(group)
        assert table.loc[key, "n_processes"] == group["process"].nunique()
        medians = group.groupby("process")["latency_ms"].median()
        assert table.loc[key, "p50_ms"] == pytest.approx(medians.median(), abs=2e-6)


def test_rows_are_in_the_order_of_models_and_batch_sizes(run) -> None:
    comparison = pd.read_csv(run[0] / "comparison.csv").dropna(subset=["batch_size"])
    order = [(model, size) for model in ("one", "two", "one+two") for size in (1, 8)]
    assert list(zip(comparison["model"], comparison["batch_size"], strict=True)) == order
    table = pd.read_csv(run[0] / "latency.csv")
    assert list(zip(table["model"], table["batch_size"], strict=True)) == order
    pairs = pd.read_csv(run[0] / "latency_pairs.csv")
    all_pairs = pd.read_csv(run[0] / "pairs.csv")
    accuracy_pairs = all_pairs[all_pairs["family"] != OTHER_ENSEMBLES][["model_a", "model_b"]].to_numpy().tolist()
    expected = [[a, b, size] for a, b in accuracy_pairs for size in (1, 8)]
    listed = pairs[["model_a", "model_b", "batch_size"]].to_numpy().tolist()
    assert listed[: len(expected)] == expected  # after these only pairs of ensembles that the answer names


def test_an_untested_pair_is_called_so_in_the_file_and_on_the_screen_alike(run, models, tmp_path, capsys, monkeypatch) -> None:
    pairs = pd.read_csv(run[0] / "latency_pairs.csv")
    untested = pairs["n_rounds"] < 8
    assert (pairs["verdict"] == "not tested").tolist() == untested.tolist() == pairs["sign_flip_p"].isna().tolist()
    assert pairs.loc[pairs["batch_size"] == 1, "n_rounds"].min() >= 8
    assert untested.any()
    PlantedMachine({"one": 0.003, "two": 0.005}).install(monkeypatch)
    main(["--data", "digits", "--models-dir", str(models), "--limit", "30", "--time-budget", "5", "--out", str(tmp_path)])
    printed = " ".join(capsys.readouterr().out.split())
    (folder,) = tmp_path.iterdir()
    (row,) = pd.read_csv(folder / "latency_pairs.csv").itertuples()
    assert (row.n_rounds, row.verdict) == (2, "not tested")
    assert "not tested: 2 of" in printed  # the cell goes on below: "the 8 repeats needed"
    assert "for speed verdicts run with --time-budget" in printed
    assert "no credible difference" not in printed.split("faster?")[1].split("0.6")[1].split("note:")[0]


def test_run_json_says_what_ran_where(run) -> None:
    facts = json.loads((run[0] / "run.json").read_text())
    assert facts["latency"]["placements"]["one on CPUExecutionProvider"].keys() == {"CPUExecutionProvider"}
    assert facts["environment"]["cores_available"] == available_cores()
    assert [model["name"] for model in facts["models"]] == ["one", "two"]
    assert facts["models"][0]["card"]["class_names"] == [str(digit) for digit in range(10)]


def test_a_benchmark_imports_neither_framework(models, tmp_path) -> None:
    done = in_this_process(
        "benchmark", "--data", "digits", "--models-dir", models, "--limit", 9, "--time-budget", 0, "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert not {"torch", "tensorflow", "keras"} & set(sys.modules)


class TestBadInput:
    def quick(self, models: Path, out: Path, *arguments: object) -> CompletedProcess[str]:
        where = () if "--models" in arguments else ("--models-dir", models)
        return in_this_process("benchmark", "--data", "digits", *where, "--out", out, "--time-budget", 0, "--limit", 20, *arguments)

    def test_no_models(self, tmp_path) -> None:
        refused(self.quick(tmp_path, tmp_path / "out"), "no .onnx file", "python -m export.to_onnx")
        assert not (tmp_path / "out").exists()

    def test_models_of_another_data_set(self, models, tmp_path) -> None:
        refused(
            in_this_process("benchmark", "--models-dir", models, "--out", tmp_path),
            "are for digits, not cifar10; add --data digits",
        )

    def test_unknown_data_set(self, models, tmp_path) -> None:
        refused(
            in_this_process("benchmark", "--out", tmp_path, "--models", models / "one.onnx", "--data", "svhn"),
            "svhn",
        )

    @pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"not onnx at all"])
    def test_a_damaged_file(self, models, tmp_path, damage) -> None:
        bad = tmp_path / "bad.onnx"
        bad.write_bytes(damage((models / "one.onnx").read_bytes()))
        refused(self.quick(models, tmp_path / "out", "--models", bad), "bad.onnx", "again")
        assert not (tmp_path / "out").exists()

    def test_a_missing_file(self, models, tmp_path) -> None:
        refused(self.quick(models, tmp_path, "--models", tmp_path / "none.onnx"), "none.onnx does not exist")

    def test_a_file_without_a_card(self, models, tmp_path) -> None:
        import onnx

        model = onnx.load(models / "one.onnx")
        del model.metadata_props[:]
        onnx.save(model, tmp_path / "bare.onnx")
        refused(
            self.quick(models, tmp_path / "out", "--models", tmp_path / "bare.onnx"),
            "no model card",
            "class_names",
            f"python -m export.adopt {tmp_path / 'bare.onnx'} --data",
        )

    def test_members_of_unlike_classes(self, models, tmp_path) -> None:
        names = [f"class {index}" for index in range(10)]
        odd = write_tiny_model(tmp_path / "odd.onnx", image_height=32, image_width=32, class_names=names)
        refused(self.quick(models, tmp_path / "out", "--models", models / "one.onnx", odd), "one and odd differ in their classes")

    def test_classes_that_are_not_the_data_sets(self, models, tmp_path) -> None:
        names = [f"class {index}" for index in range(10)]
        odd = write_tiny_model(tmp_path / "odd.onnx", image_height=32, image_width=32, class_names=names)
        refused(self.quick(models, tmp_path / "out", "--models", odd), "are not those of digits")

    def test_two_files_of_one_name(self, models, tmp_path) -> None:
        twin = tmp_path / "one.onnx"
        twin.write_bytes((models / "one.onnx").read_bytes())
        refused(self.quick(models, tmp_path / "out", "--models", models / "one.onnx", twin), "the same name in the tables")

    def test_an_ensemble_of_one(self, models, tmp_path) -> None:
        refused(self.quick(models, tmp_path / "out", "--models", models / "one.onnx", "--ensemble"), "at least two models")

    def test_results_that_cannot_be_written(self, models, tmp_path) -> None:
        (tmp_path / "file").write_text("")
        refused(self.quick(models, tmp_path / "file"), "cannot write results")

    def test_cuda_that_cannot_be_proved(self, models, tmp_path) -> None:
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("this ONNX Runtime has CUDA")
        refused(self.quick(models, tmp_path / "out", "--device", "cuda"), "--device cuda", "--device cpu")
        assert not (tmp_path / "out").exists()

    def test_more_threads_than_cores(self, models, tmp_path) -> None:
        refused(self.quick(models, tmp_path / "out", "--threads", 99999), "--threads 99999", "cores", status=2)

    def test_settings_without_time(self, models, tmp_path) -> None:
        refused(self.quick(models, tmp_path / "out", "--instances", 1, 2), "--instances", "--time-budget 0", "give it some seconds")
        refused(
            self.quick(models, tmp_path / "out", "--instances", 99999, "--threads", 1, "--time-budget", 9),
            "--instances 99999",
            "cores",
        )
        assert not (tmp_path / "out").exists()

    def test_traceback_shows_the_cause(self, tmp_path) -> None:
        done = self.quick(tmp_path, tmp_path / "out", "--traceback")
        assert done.returncode == 1
        assert "Traceback" in done.stderr

    @pytest.mark.parametrize(
        "arguments", [("--batch-sizes", 0), ("--limit", -1), ("--time-budget", "nan"), ("--split", "all"), ("--no-such-flag",)]
    )
    def test_arguments_that_make_no_sense(self, arguments) -> None:
        refused(in_this_process("benchmark", *arguments), arguments[0], "see python -m benchmark --help", status=USAGE)
