"""Tuned ensembles in a benchmark: which are made, what is kept of them, and that none is worse for a bad member."""

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import log_loss

from benchmark.accuracy.metrics import expected_calibration_error, negative_log_likelihood
from benchmark.candidates import Candidate
from benchmark.command import main
from benchmark.ensembles import Plan, add_ensemble, plans, tuning_images
from benchmark.findings import Findings
from benchmark.results import read_results
from core.cli import USAGE
from core.errors import UserError
from core.records import Predictions, softmax
from data import open_dataset
from models.runtimes.base import Provider
from models.runtimes.opening import open_file
from models.runtimes.registry import CPU
from tests.commands import arrays_of, in_this_process
from tests.planted_machine import PlantedMachine
from tests.tiny_models import tiny_card, write_tiny_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    digits, folder, out = open_dataset("digits"), tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("results")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names}
    for seed, (name, temperature) in enumerate([("one", 20.0), ("two", 20.0), ("loud", 0.5)]):
        write_tiny_model(
            folder / f"{name}.onnx", seed=seed, temperature=temperature, dataset_sha256=digits.fingerprints(), **common
        )
    arguments = ["--data", "digits", "--models-dir", folder, "--out", out, "--batch-sizes", 1, "--time-budget", 30]
    rules = ["--ensemble", "mean", "weighted", "geometric", "greedy", "--max-latency-ms", 1000]
    stems = ["one", "two", "loud", *(f"ensemble_{index}" for index in range(7))]
    stdout = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stdout):
        PlantedMachine(dict.fromkeys(stems, 0.002), noise=0.05).install(patch)
        assert main([str(argument) for argument in (*arguments, *rules)]) == 0
    (found,) = out.iterdir()
    return found, stdout.getvalue()


def test_the_mean_of_every_subset_and_each_tuned_rule_of_all(run) -> None:
    comparison = pd.read_csv(run[0] / "comparison.csv")
    names = set(comparison[comparison["kind"] == "ensemble"]["model"])
    whole = "loud+one+two"
    assert names == {"loud+one", "loud+two", "one+two", whole, *(f"{whole} ({r})" for r in ("weighted", "geometric", "greedy"))}
    assert comparison[comparison["model"] == f"{whole} (greedy)"]["latency_p50_ms"].gt(0).all()


def test_the_table_of_ensembles_follows_from_the_kept_predictions(run) -> None:
    folder, _ = run
    table = pd.read_csv(folder / "ensembles.csv", keep_default_na=False, na_values=[""])
    held = open_dataset("digits").split("validation", 0)
    kept = {path.stem: arrays_of(path) for path in (folder / "predictions").iterdir()}
    assert str(kept["one_validation"]["dataset_sha256"]) == held.sha256
    np.testing.assert_array_equal(kept["one_validation"]["labels"], held.labels)
    rows = table[table["rule"] == "weighted"]
    for _, row in rows[rows["member"].notna()].iterrows():
        for suffix, prefix in (("_validation", "validation_"), ("", "")):
            own = kept[f"{row['member']}{suffix}"]
            for when, temperature in (("before", 1.0), ("after", row["temperature_alone"])):
                probabilities = softmax(own["logits"] / temperature)
                nll = negative_log_likelihood(probabilities, own["labels"])
                assert row[f"{prefix}nll_{when}"] == pytest.approx(nll, abs=1e-5)
                ece = expected_calibration_error(probabilities, own["labels"])
                assert row[f"{prefix}ece_15bin_{when}"] == pytest.approx(ece, abs=1e-4)
        assert row["validation_nll_after"] <= row["validation_nll_before"] + 1e-6
    (whole,) = rows[rows["member"].isna()].to_dict("records")
    comparison = pd.read_csv(folder / "comparison.csv").drop_duplicates("model").set_index("model")
    assert whole["nll_after"] == pytest.approx(comparison.loc[whole["ensemble"], "nll"], abs=1e-5)
    assert whole["nll_before"] == pytest.approx(comparison.loc["loud+one+two", "nll"], abs=1e-5)
    assert rows["weight"].sum() == pytest.approx(1, abs=1e-5)


def test_a_run_can_be_read_back_with_its_rules(run) -> None:
    stored = read_results(run[0])
    comparison = pd.read_csv(run[0] / "comparison.csv").drop_duplicates("model").set_index("model")
    for name, (logits, labels) in stored.predictions.items():
        assert (logits.argmax(axis=1) == labels).mean() == pytest.approx(comparison.loc[name, "top1_accuracy"], abs=1e-6)


def test_run_json_records_rules_images_and_the_answer_which_is_printed_last(run) -> None:
    folder, stdout = run
    facts = json.loads((folder / "run.json").read_text())
    assert facts["tuned_on"] == {
        "split": "validation",
        "n_images": 145,
        "sha256": open_dataset("digits").split("validation").sha256,
    }
    greedy = next(e for e in facts["ensembles"] if e["rule"] == "greedy")
    assert sum(greedy["weights"]) == pytest.approx(1)
    assert len(greedy["temperatures"]) == len(greedy["members"]) == 3
    last = stdout.strip().splitlines()[-1]
    assert last == facts["answers"][0]
    assert last.startswith("answer, at batch 1 on CPU: deploy ")


def candidates(**kinds: tuple[str | None, str]) -> list[Candidate]:
    import dataclasses

    return [
        Candidate(name, Path(f"{name}.onnx"), dataclasses.replace(tiny_card(name), rule=rule, precision=precision))
        for name, (rule, precision) in kinds.items()
    ]


def test_ensembles_and_variants_beside_their_originals_are_not_combined_again() -> None:
    found = candidates(a=(None, "fp32"), b=(None, "fp32"), a_int8=(None, "int8"), x=("mean", "fp32"))
    wanted, notes = plans(found, ["mean", "greedy"])
    assert [plan.name for plan in wanted] == ["a+b", "a+b (greedy)"]
    assert "a_int8, x" in notes[0]
    wanted, notes = plans(candidates(a=(None, "int8"), b=(None, "int8")), ["mean"])
    assert ([plan.name for plan in wanted], notes) == (["a+b"], [])
    assert plans(found, []) == ([], [])


def test_too_few_and_too_many_members() -> None:
    with pytest.raises(UserError, match="at least two"):
        plans(candidates(a=(None, "fp32"), x=("mean", "fp32")), ["mean"])
    many = candidates(**{f"m{index}": (None, "fp32") for index in range(7)})
    with pytest.raises(UserError, match="120 ensembles"):
        plans(many, ["mean"])
    assert [plan.rule for plan in plans(many, ["weighted"])[0]] == ["weighted"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--max-latency-ms", 5, "--time-budget", 0), "--time-budget 0 leaves out"),
        (("--at-batch", 7), "--at-batch 7 is not timed"),
    ],
)
def test_an_answer_that_cannot_be_had_is_refused_at_once(arguments, what) -> None:
    done = in_this_process("benchmark", *arguments)
    assert done.returncode == 1
    assert what in done.stderr
    done = in_this_process("benchmark", "--min-accuracy", "95")
    assert done.returncode == USAGE
    assert done.stderr.startswith("error: argument --min-accuracy")


def test_the_oracle_asks_the_members_alone(run, tmp_path: Path) -> None:
    """A file that is an ensemble, or an INT8 variant, is no member: what it gets right says nothing of what is left to gain."""
    folder, _ = run
    labels, right = None, None
    for name in ("loud", "one", "two"):
        kept = arrays_of(folder / "predictions" / f"{name}.npz")
        labels = kept["labels"]
        own = kept["logits"].argmax(axis=1) == labels
        right = own if right is None else right | own
    models = [Path(model["path"]) for model in json.loads((folder / "run.json").read_text())["models"]]
    fused = tmp_path / "fused.onnx"
    assert in_this_process("ensemble", *models, "--weights", 3, 2, 1, "--out", fused).returncode == 0
    done = in_this_process(
        "benchmark", "--data", "digits", "--models", *models, fused, "--ensemble", "--time-budget", 0, "--out", tmp_path / "results"
    )
    assert done.returncode == 0, done.stderr
    (found,) = (tmp_path / "results").iterdir()
    comparison = pd.read_csv(found / "comparison.csv").set_index("model")
    assert comparison.loc["oracle", "members"].split() == ["loud", "one", "two"]
    assert comparison.loc["oracle", "top1_accuracy"] == pytest.approx(right.mean(), abs=1e-6)


def test_an_ensemble_called_like_a_file_is_refused(tmp_path: Path) -> None:
    cards = {name: tiny_card(name) for name in ("a", "b", "a+b")}
    candidates = [Candidate(name, Path(f"{name}.onnx"), card) for name, card in cards.items()]
    with pytest.raises(UserError, match=r"the ensemble a\+b would have the same name as a\+b\.onnx"):
        plans(candidates, ["mean"])
    plans(candidates[:2], ["mean"])


def test_to_tune_without_validation_images_the_mean_is_offered(tmp_path: Path) -> None:
    root = tmp_path / "only_test"
    for label in range(2):
        (root / "test" / f"c{label}").mkdir(parents=True)
        for index in range(3):
            pixels = np.full((8, 8, 3), 100 * label + index, np.uint8)
            Image.fromarray(pixels).save(root / "test" / f"c{label}" / f"{index}.png")
    wanted, _ = plans(candidates(a=(None, "fp32"), b=(None, "fp32")), ["weighted", "greedy"])
    with pytest.raises(UserError, match=r"weighted greedy needs validation images .* has only test images; use --ensemble mean"):
        tuning_images(open_dataset(str(root)), wanted, None, 0)
    assert tuning_images(open_dataset(str(root)), [], None, 0) is None


def test_an_ensemble_is_measured_from_kept_predictions_and_its_file_held_to_them(tmp_path: Path, monkeypatch) -> None:
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    members = [
        Candidate(name, write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, **common), tiny_card(name))
        for seed, name in enumerate("ab")
    ]
    images = digits.official("test").take(np.arange(60))
    found = Findings(images, members, [Provider(CPU, "a CPU")], 1)
    for member in members:
        logits = open_file(member.path, CPU, 1).predicted(images.images_u8).outputs.logits
        found.predictions[member.name] = Predictions(member.name, "test", images.sha256, logits)
    add_ensemble(found, Plan("mean", tuple(members)), tmp_path)
    mean = np.mean([softmax(found.predictions[name].logits) for name in "ab"], axis=0)
    np.testing.assert_allclose(softmax(found.predictions["a+b"].logits), mean, atol=1e-6)
    (entry,) = found.entries
    assert entry.accuracy.top1_accuracy == pytest.approx((mean.argmax(axis=1) == images.labels).mean())
    assert entry.accuracy.scores["nll"] == pytest.approx(log_loss(images.labels, mean, labels=range(10)), rel=1e-5)
    assert (entry.kind, entry.members) == ("ensemble", ("a", "b"))
    again = open_file(found.files["a+b"], CPU, 1).predicted(images.images_u8).outputs
    np.testing.assert_allclose(again.probabilities, mean, atol=1e-5)
    found.predictions["a"] = replace(found.predictions["a"], logits=found.predictions["a"].logits[::-1].copy())
    with pytest.raises(UserError, match=r"of a\+b gives other outputs than its members on 60 test images: probabilities differ"):
        add_ensemble(found, Plan("mean", tuple(members)), tmp_path)
