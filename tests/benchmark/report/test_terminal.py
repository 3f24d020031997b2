"""What is printed fits where it is read, keeps every name, and says in words what the tables hold in codes."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from itertools import combinations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.accuracy.pairs import OTHER_ENSEMBLES
from benchmark.report.advice import advice
from benchmark.report.terminal import print_report, shown_pairs, three_digits
from benchmark.results import Results
from models.runtimes.registry import CPU, OPENVINO, spoken
from tests.made_run import results

SHIPPED = ("resnet18_cifar10_tf", "resnet18_cifar10_torch")


def printed(found: Results, columns: str, monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> str:
    monkeypatch.setenv("COLUMNS", columns)
    out = io.StringIO()
    if terminal:
        out.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", out)
    print_report(found)
    return out.getvalue()


def tables_of(text: str) -> list[str]:
    """Lines of tables, which begin with a line of a box."""
    return [line for line in text.splitlines() if line[:1] in "┏┃┡│├└+|"]


@pytest.mark.parametrize("columns", ["80", "100", "120", ""])
@pytest.mark.parametrize(
    "singles", [SHIPPED, ("a", "b"), ("resnet[int8]", "resnet[fp16]"), tuple(f"{'long_' * 9}{i}" for i in range(4))]
)
def test_tables_fit_and_every_name_is_whole(singles: tuple[str, ...], columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(results(singles), columns, monkeypatch)
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
    found = results(tuple(f"{'long_' * 9}{i}" for i in range(4)))
    lines = tables_of(printed(found, "", monkeypatch, terminal=True))
    assert max(map(len, lines)) <= 80
    assert any("A+B" in line for line in lines)


def test_names_stay_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "A = " not in printed(results(("a", "b")), "120", monkeypatch)
    assert "A = " not in printed(results(SHIPPED), "300", monkeypatch)
    assert "B = resnet18_cifar10_torch" in printed(results(SHIPPED), "80", monkeypatch)


def test_a_pipe_gets_no_wider_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(("a", "b"), batch_sizes=(1,))
    assert max(map(len, tables_of(printed(found, "", monkeypatch)))) < 100


def test_codes_of_the_tables_are_words_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(results(SHIPPED, n_rounds=3), "120", monkeypatch)
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


@pytest.mark.parametrize("columns", ["20", "60", "80"])
def test_names_that_are_as_short_as_letters_stay(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "A = " not in printed(results(("one", "two")), columns, monkeypatch)


@pytest.mark.parametrize(("threads", "said"), [(1, "1 thread *$"), (2, "2 threads *$")])
def test_one_thread_is_singular(threads: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(results(("a", "b"), threads=threads), "300", monkeypatch)
    assert re.search(said, text, re.MULTILINE)


@pytest.mark.parametrize("n_models", [2, 3, 4])
def test_every_pair_of_models_that_the_answer_names_is_in_the_table(n_models: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three models it is "a+b or c", and c is no member of a+b: a pair of another family than those that people ask for."""
    found = results(tuple("abcd"[:n_models]))
    (answer,) = advice(found)
    assert len(answer.models) >= 2
    shown, text = shown_pairs(found, CPU), printed(found, "300", monkeypatch)
    assert (n_models == 3) is (OTHER_ENSEMBLES in set(shown["family"]))
    for pair in combinations(answer.models, 2):
        (row,) = (row for row in shown.itertuples() if {row.model_a, row.model_b} == set(pair))
        cells = text.split(f"{row.model_a} ")[1:]
        assert any(f"vs {row.model_b} " in cell for cell in cells)
        timed = found.latency_pairs
        assert ((timed["model_a"] == row.model_a) & (timed["model_b"] == row.model_b)).sum() == 3


def test_every_answer_has_its_verdicts_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second runtime, which rounds as the first does: its answer rests on the same accuracy and on latencies of its own."""
    found = results(("a", "b"), batch_sizes=(1,))
    again = found.latency_pairs.assign(provider=OPENVINO, p50_ratio=7.77)
    both = replace(found, tables={**found.tables, "latency_pairs.csv": pd.concat([found.latency_pairs, again])})
    text = printed(both, "300", monkeypatch)
    first, second = text.split("Is the difference real?")[1:]
    assert second.startswith(" (OpenVINO on CPU)")
    assert ("7.77" in first, "7.77" in second) == (False, True)
    own = found.pairs.assign(provider=OPENVINO, accuracy_difference=0.3333)
    both = replace(both, tables={**both.tables, "pairs.csv": pd.concat([found.pairs, own])})
    first, second = printed(both, "300", monkeypatch).split("Is the difference real?")[1:]
    assert ("33.33" in first, "33.33" in second) == (False, True)


def test_the_star_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(printed(results(("a", "b")), "300", monkeypatch).split())
    assert "no other model is significantly better in one and not worse in the other" in text
