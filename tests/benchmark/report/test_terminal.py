"""What is printed fits where it is read, keeps every name, and says in words what the tables hold in codes."""

from __future__ import annotations

import io
import sys
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.accuracy.metrics import measure
from benchmark.accuracy.pairs import compare_pairs
from benchmark.candidates import Candidate
from benchmark.findings import Ensemble, Findings
from benchmark.latency.pairs import compare_latencies
from benchmark.latency.summary import summarise
from benchmark.report.names import letters, short_names
from benchmark.report.tables import Entry, comparison_rows
from benchmark.report.terminal import print_report, three_digits
from core.records import ImageSet, LatencySamples, Predictions
from ensemble.rules.combination import combination
from models.runtimes.onnx_runtime import CPU, Provider, spoken
from tests.tiny_models import tiny_card

SHIPPED = ("resnet18_cifar10_tf", "resnet18_cifar10_torch")


@cache
def findings(singles: tuple[str, ...], n_rounds: int = 8, batch_sizes: tuple[int, ...] = (1, 32, 256)) -> Findings:
    """A run over made-up predictions and latencies: every pair of `singles` as an ensemble, and the oracle."""
    random = np.random.default_rng(0)
    labels = np.arange(1000) % 10
    image_set = ImageSet(np.zeros((1000, 1, 1, 3), np.uint8), labels, tuple("abcdefghij"), "cifar10", "test", "0" * 64)
    ensembles = {"+".join(pair): Ensemble(pair, combination("mean", 2)) for pair in combinations(singles, 2)}
    names = [*singles, *ensembles]
    found = Findings(
        image_set,
        [Candidate(name, Path(f"{name}.onnx"), tiny_card(name)) for name in singles],
        [Provider(CPU, "AMD EPYC 9R14 96-Core Processor")],
        2,
        ensembles=ensembles,
    )
    samples = []
    for index, name in enumerate(names):
        logits = random.normal(0, 1, (1000, 10)).astype(np.float32)
        logits[np.arange(1000), labels] += 3 + index
        found.predictions[name] = Predictions(name, "test", "0" * 64, logits)
        kind = "ensemble" if "+" in name else "single"
        found.entries.append(Entry(name, kind, (), "torch", "fp32", 44.7, measure(found.predictions[name], labels)))
        for turn in range(n_rounds):
            for size in batch_sizes:
                calls_ms = size * (12.3 + index + 5 * random.random(5))
                where = (size, 2, "host-to-host", turn, turn)
                samples.append(LatencySamples(name, CPU, *where, 1.0, 2.0, np.ones(2), calls_ms))
    found.entries.append(Entry("oracle", "oracle", singles, "", "", float("nan"), found.entries[0].accuracy))
    right = {name: predictions.predicted() == labels for name, predictions in found.predictions.items()}
    found.pairs = compare_pairs(right, list(singles), {name: one.members for name, one in ensembles.items()})
    found.latencies = summarise(samples)
    found.latency_pairs = compare_latencies(samples, [(pair.model_a, pair.model_b) for pair in found.pairs])
    return found


def printed(found: Findings, columns: str, monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> str:
    comparison: pd.DataFrame = comparison_rows(
        found.entries, found.latencies, {CPU: "AMD EPYC 9R14 96-Core Processor"}, found.image_set
    )
    monkeypatch.setenv("COLUMNS", columns)
    out = io.StringIO()
    if terminal:
        out.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", out)
    print_report(comparison, found)
    return out.getvalue()


def tables_of(text: str) -> list[str]:
    """Lines of tables, which begin with a line of a box."""
    return [line for line in text.splitlines() if line[:1] in "┏┃┡│├└+|"]


@pytest.mark.parametrize("columns", ["80", "100", "120", ""])
@pytest.mark.parametrize(
    "singles", [SHIPPED, ("a", "b"), ("resnet[int8]", "resnet[fp16]"), tuple(f"{'long_' * 9}{i}" for i in range(4))]
)
def test_tables_fit_and_every_name_is_whole(singles: tuple[str, ...], columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(findings(singles), columns, monkeypatch)
    lines = tables_of(text)
    assert lines
    assert max(map(len, lines)) <= int(columns or 120)
    for name in singles:
        assert name in text
    used = f"A = {singles[0]}" in text
    assert ("A+B" in text) is used
    if not used:
        assert "+".join(singles[:2]) in text


def test_a_terminal_of_80_columns_folds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(tuple(f"{'long_' * 9}{i}" for i in range(4)))
    lines = tables_of(printed(found, "", monkeypatch, terminal=True))
    assert max(map(len, lines)) <= 80
    assert any("A+B" in line for line in lines)


def test_names_stay_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "A = " not in printed(findings(("a", "b")), "120", monkeypatch)
    assert "A = " not in printed(findings(SHIPPED), "300", monkeypatch)
    assert "B = resnet18_cifar10_torch" in printed(findings(SHIPPED), "80", monkeypatch)


def test_a_pipe_gets_no_wider_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(("a", "b"), batch_sizes=(1,))
    assert max(map(len, tables_of(printed(found, "", monkeypatch)))) < 100


def test_codes_of_the_tables_are_words_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(findings(SHIPPED, n_rounds=3), "120", monkeypatch)
    assert "ExecutionProvider" not in text
    assert "oracle" not in text
    assert "best possible: right if any member is (an upper bound, not a model)" in text
    assert "CPU: AMD EPYC 9R14 96-Core Processor, 2 threads" in text
    joined = " ".join(text.split())
    assert "not tested: 3" in joined
    assert "p < 0.001" in joined
    assert (spoken(CPU), spoken("CUDAExecutionProvider"), spoken("ROCMExecutionProvider")) == ("CPU", "GPU (CUDA)", "ROCM")


@given(value=st.floats(1e-6, 1e9))
def test_latencies_have_three_digits_and_no_exponent(value: float) -> None:
    shown = three_digits(value)
    assert "e" not in shown
    assert float(shown) == pytest.approx(value, rel=0.0051)


def test_latencies_by_hand() -> None:
    shown = [three_digits(value) for value in (0.01694, 1.0, 12.345, 999.6, 3950.2, 0.0, float("nan"))]
    assert shown == ["0.0169", "1.00", "12.3", "1000", "3950", "0", ""]


def test_letters_go_on_after_z_and_rules_stay() -> None:
    assert letters(28)[-3:] == ["Z", "AA", "AB"]
    names = short_names(["x", "y"], {"x+y (greedy)": Ensemble(("x", "y"), combination("weighted", 2, (1, 2)))})
    assert names.of("x+y (greedy)") == "A+B (weighted)"
    assert names.of("something else") == "something else"
    assert names.legend() == ["A = x", "B = y"]
