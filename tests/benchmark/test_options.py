"""What can be asked for from Python is what can be asked for on the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmark.command import parse
from benchmark.options import COMMAND_ONLY, Options, from_values
from core.errors import UserError


def test_both_have_the_same_defaults() -> None:
    assert parse([]) == from_values({}) == Options()


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        (["--models", "a.onnx", "b.onnx"], {"models": ["a.onnx", Path("b.onnx")]}),
        (["--models", "a.onnx"], {"models": "a.onnx"}),
        (["--ensemble", "mean", "weighted", "mean"], {"ensemble": ("mean", "weighted", "mean")}),
        (["--ensemble"], {"ensemble": "mean"}),
        (["--batch-sizes", "32", "1", "32"], {"batch_sizes": (32, 1, 32)}),
        (["--batch-sizes", "8"], {"batch_sizes": 8}),
        (["--limit", "5", "--threads", "1", "--at-batch", "1"], {"limit": 5, "threads": 1, "at_batch": 1}),
        (["--threads", "2", "1", "2", "--instances", "3", "1"], {"threads": [1, 2], "instances": (1, 3)}),
        (["--threads", "2", "2"], {"threads": [2]}),
        (["--instances", "2"], {"instances": 2}),
        (["--time-budget", "0", "--out", "there"], {"time_budget_s": 0, "out": "there"}),
        (["--min-accuracy", "0.9", "--max-latency-ms", "5"], {"min_accuracy": 0.9, "max_latency_ms": 5.0}),
        (["--openvino", "--exclude", "duplicates", "--split", "validation"],
         {"openvino": True, "exclude": "duplicates", "split": "validation"}),
    ],
)  # fmt: skip
def test_both_ways_of_asking_mean_the_same(typed: list[str], given: dict[str, object]) -> None:
    assert parse(typed) == from_values(given)


def test_files_and_a_folder_of_them_are_not_both_asked_for() -> None:
    for ask in (
        lambda: parse(["--models", "a.onnx", "--models-dir", "mine"]),
        lambda: from_values({"models": "a.onnx", "models_dir": "mine"}),
    ):
        with pytest.raises(UserError, match="--models-dir mine would not be read"):
            ask()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Options) if field.name not in COMMAND_ONLY])
def test_every_option_can_be_given_its_own_default(field: str) -> None:
    assert from_values({field: getattr(Options(), field)}) == Options()


@pytest.mark.parametrize("name", ["out", "models_dir", "data", "models"])
@pytest.mark.parametrize("empty", ["", " "])
def test_nothing_may_be_empty(name: str, empty: str) -> None:
    with pytest.raises(UserError, match=f"{name} is empty"):
        from_values({name: empty})


def test_one_number_of_threads_is_kept_as_one_number() -> None:
    assert (parse(["--threads", "2"]).threads, parse(["--threads", "2"]).thread_counts) == (2, (2,))
    assert (parse([]).threads, parse([]).thread_counts) == (None, ())
    assert parse(["--threads", "2", "1"]).threads == parse(["--threads", "2", "1"]).thread_counts == (1, 2)
