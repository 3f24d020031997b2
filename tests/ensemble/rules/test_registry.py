"""A rule is a file and one entry: whatever lists rules, or works by them, follows from the registry."""

import csv
from importlib import import_module
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.special import softmax

from benchmark import command as benchmark_command
from benchmark.candidates import Candidate
from benchmark.ensembles import plans
from data import open_dataset
from ensemble import command as ensemble_command
from ensemble.rules.combination import combination, combine
from ensemble.rules.registry import RULES, Rule, tuned_rules, untuned_rules
from models.graph.contract import load_model
from tests.commands import in_this_process
from tests.tiny_models import tiny_card, write_tiny_model


@pytest.fixture(params=[False, True], ids=["untuned", "tuned"])
def largest(request, monkeypatch) -> Rule:
    """The made-up rule, registered for one test."""
    rule = Rule("the largest probability of each class", "tests.made_up_rule", is_tuned=request.param, takes_weights=False)
    monkeypatch.setitem(RULES, "largest", rule)
    return rule


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, digits = tmp_path_factory.mktemp("models"), open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    return [
        write_tiny_model(folder / f"{name}.onnx", seed=seed, temperature=20.0, **common)
        for seed, name in enumerate(["one", "two", "three"])
    ]


def outputs(path: Path, images_u8: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["logits", "probabilities"], {"images": images_u8})


@pytest.mark.parametrize("name", RULES)
def test_every_rule_offers_what_is_asked_of_one(name: str) -> None:
    module = import_module(RULES[name].module)
    assert callable(module.combine)
    assert callable(module.add_nodes)
    assert hasattr(module, "fit") == RULES[name].is_tuned
    # A member that has all of the weight is that member, whatever the rule
    logits = [np.random.default_rng(seed).normal(size=(4, 3)) for seed in range(3)]
    alone = combine(combination(name, 3, [0, 1, 0]), logits)[1]
    np.testing.assert_allclose(alone, combine(combination(name, 1), [logits[1]])[1], atol=1e-12)


def test_a_new_rule_is_a_choice_and_explained(largest: Rule) -> None:
    for command, flag in ((ensemble_command, "--rule"), (benchmark_command, "--ensemble")):
        (action,) = [action for action in command.parser()._actions if flag in action.option_strings]
        assert action.choices == tuple(RULES)
        assert "largest" in action.help
    assert ("largest" in tuned_rules()) == ("largest" not in untuned_rules()) == largest.is_tuned


def test_a_new_rule_is_planned_by_the_benchmark(largest: Rule) -> None:
    found = [Candidate(name, Path(f"{name}.onnx"), tiny_card(name)) for name in "abc"]
    names = [plan.name for plan in plans(found, ["largest"])[0]]
    every_subset = ["a+b (largest)", "a+c (largest)", "b+c (largest)", "a+b+c (largest)"]
    assert names == (["a+b+c (largest)"] if largest.is_tuned else every_subset)


def test_a_new_rule_is_fused_and_says_what_it_computes(largest: Rule, members, tmp_path) -> None:
    done = in_this_process("ensemble", *members, "--rule", "largest", "--out", tmp_path / "x.onnx")
    assert done.returncode == 0, done.stderr
    _, card = load_model(tmp_path / "x.onnx")
    assert card.rule == "largest"
    assert ("tuned_on" in card.recipe) == largest.is_tuned
    images_u8 = open_dataset("digits").split("validation").images_u8
    taken = [(path, member.temperature) for path, member in zip(members, card.members, strict=True) if member.weight > 0]
    largest_of = np.max([softmax(outputs(path, images_u8)[0] / temperature, axis=1) for path, temperature in taken], axis=0)
    wanted = largest_of / largest_of.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs(tmp_path / "x.onnx", images_u8)[1], wanted, atol=1e-5)
    done = in_this_process("ensemble", *members, "--rule", "largest", "--weights", 1, 2, 3, "--out", tmp_path / "y.onnx")
    assert "--rule largest" in done.stderr
    assert "--rule weighted" in done.stderr


def test_a_cascade_goes_on_to_a_new_rule(largest: Rule, members, tmp_path) -> None:
    done = in_this_process("ensemble", *members, "--rule", "largest", "--cascade", "--out", tmp_path / "x.onnx")
    assert done.returncode == 0, done.stderr
    assert load_model(tmp_path / "x.onnx")[1].rule == "cascade of largest"


def test_a_new_rule_is_benchmarked(largest: Rule, members, tmp_path) -> None:
    arguments = ("--data", "digits", "--models", *members[:2], "--ensemble", "largest", "--time-budget", 0, "--out", tmp_path)
    done = in_this_process("benchmark", *arguments)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    with (folder / "comparison.csv").open(encoding="utf-8") as table:
        assert "one+two (largest)" in {row["model"] for row in csv.DictReader(table)}
