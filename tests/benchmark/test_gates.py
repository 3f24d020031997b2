from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.command import parse
from benchmark.gates import failures, parse_gate
from benchmark.report.tables import comparison_columns
from benchmark.results import Results
from core.errors import UserError

FRAME = pd.DataFrame(
    {
        "model": ["a", "a", "b", "b", "oracle"],
        "kind": ["single"] * 4 + ["oracle"],
        "provider": ["cpu"] * 4 + [None],
        "batch_size": [1, 32, 1, 32, np.nan],
        "top1_accuracy": [0.95, 0.95, 0.85, 0.85, 0.99],
        "latency_p50_ms": [1.0, 20.0, 4.0, 60.0, np.nan],
        "latency_p99_ms": [2.0, np.nan, 5.0, np.nan, np.nan],
    }
)


def results(comparison: pd.DataFrame) -> Results:
    return Results(Path("none"), {}, {"comparison.csv": comparison})


def failed(*texts: str) -> list[str]:
    return failures(results(FRAME), [parse_gate(text, list(FRAME.columns)) for text in texts])


@pytest.mark.parametrize(
    ("text", "n_rows"),
    [
        ("latency_p50_ms > 60", 0),
        ("latency_p50_ms >= 60", 1),
        ("latency_p50_ms<2", 1),
        ("top1_accuracy < 0.9", 2),
        ("top1_accuracy < 9e-1 where batch_size = 1", 1),
        ("latency_p50_ms > 5 where batch_size = 1", 0),
        ("latency_p50_ms > 5 where batch_size == 32 and model = a", 1),
        ("top1_accuracy == 0.95 where model = a", 2),
        ("top1_accuracy != 0.95 where model = a", 0),
    ],
)
def test_a_gate_fails_the_rows_where_its_condition_holds(text: str, n_rows: int) -> None:
    assert len(failed(text)) == n_rows


def test_a_missing_figure_cannot_pass() -> None:
    assert failed("latency_p99_ms > 100 where model = a") == [
        "latency_p99_ms > 100 where model = a: a at batch 32 on cpu has no latency_p99_ms"
    ]


def test_filters_that_leave_nothing_cannot_pass() -> None:
    assert failed("top1_accuracy < 0.1 where model = c") == ["top1_accuracy < 0.1 where model = c: no row to judge"]


@pytest.mark.parametrize("name", ["0", "nan", "None", "a+b (weighted)", "1e1"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_model_is_found_by_any_name(name: str, quote: str) -> None:
    frame = pd.DataFrame({"model": [name, "00", "10"], "kind": "single", "batch_size": np.nan, "top1_accuracy": 0.5})
    gate = parse_gate(f"top1_accuracy < 0.9 where model = {quote}{name}{quote}", list(frame.columns))
    assert failures(results(frame), [gate]) == [f"{gate.text}: {name} has 0.5"]


def test_several_gates_are_all_told() -> None:
    assert len(failed("top1_accuracy < 0.9", "latency_p50_ms > 50")) == 3


@pytest.mark.parametrize(
    "text", ["", "top1_accuracy", "top1_accuracy < high", "0.9 > top1_accuracy", "top1_accuracy < 0.9 where", "a < 1; b"]
)
def test_what_is_not_understood_names_the_grammar(text: str) -> None:
    with pytest.raises(UserError, match="is not understood; write COLUMN OPERATOR NUMBER"):
        parse_gate(text, list(FRAME.columns))


@pytest.mark.parametrize("text", ["latency_p50 > 5", "top1_accuracy < 1 where batch = 1"])
def test_an_unknown_column_names_those_there_are(text: str) -> None:
    with pytest.raises(UserError, match=r"there is no column .*; there are model, kind"):
        parse_gate(text, list(FRAME.columns))


def test_a_column_of_words_is_refused() -> None:
    with pytest.raises(UserError, match="holds words"):
        failed("provider > 5")


def test_a_flag_given_twice_adds_to_the_first() -> None:
    options = parse(["--fail-if", "nll > 1", "--fail-if", "nll > 2", "nll > 3", "--models", "a.onnx", "--models", "b.onnx"])
    assert options.fail_if == ("nll > 1", "nll > 2", "nll > 3")
    assert options.models == (Path("a.onnx"), Path("b.onnx"))
    assert parse([]).fail_if == ()


@pytest.mark.parametrize("column", ["model", "provider", "dataset_sha256"])
def test_a_column_of_words_is_refused_before_anything_is_measured(column: str) -> None:
    with pytest.raises(UserError, match=f"{column} holds words"):
        parse_gate(f"{column} < 1", comparison_columns())
