"""`python -m benchmark load`: LoadGen drives a session and a server, and the table has a row for each way to ask."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmark.load import clients
from benchmark.load import trial as trials
from benchmark.load.clients import Http, InProcess
from benchmark.load.command import COLUMNS
from benchmark.load.trial import Trial, read_summary, run_trial
from tests.commands import in_this_process
from tests.serve.serving import serving
from tests.tiny_models import write_tiny_model

SUMMARY = """
Scenario : Server
Completed samples per second    : 498.30
Result is : {result}
  Performance constraints satisfied : Yes
50.00 percentile latency (ns)   : 1500000
90.00 percentile latency (ns)   : 2500000
99.00 percentile latency (ns)   : 9000000
"""


@pytest.mark.parametrize(("result", "n_failed", "passed"), [("VALID", 0, True), ("INVALID", 0, False), ("VALID", 1, False)])
def test_a_trial_passes_if_loadgen_says_so_and_nothing_failed(result: str, n_failed: int, passed: bool) -> None:
    found = read_summary(SUMMARY.format(result=result), 500, n_failed)
    assert found == Trial(500, passed, 1.5, 2.5, 9.0, 498.3, n_failed)


def test_a_summary_without_figures_is_an_error() -> None:
    with pytest.raises(ValueError, match="percentile latency"):
        read_summary("Result is : VALID", 500, 0)


@pytest.mark.optional
def test_loadgen_drives_a_session_and_a_server(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen", reason="needs the group loadgen")
    path = write_tiny_model(tmp_path / "a.onnx")
    client = InProcess(path, 1, 8)
    alone = run_trial(client, 2000, bound_ms=1e6, seconds=0.01)
    client.close()
    assert alone.passed and 0 < alone.p50_ms <= alone.p90_ms <= alone.p99_ms
    pytest.importorskip("uvicorn", reason="needs the group serve")
    with serving([path]) as server:
        client = Http(f"{server.url}/v2/models/a")
        over_http = run_trial(client, 1000, bound_ms=1e6, seconds=0.01)
        client.close()
    assert over_http.passed and over_http.n_failed == 0


@pytest.mark.optional
def test_the_table_has_a_row_for_each_way_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LoadGen's runs replaced by a machine that keeps up to 100 queries a second."""
    pytest.importorskip("mlperf_loadgen", reason="needs the group loadgen")
    pytest.importorskip("uvicorn", reason="needs the group serve")
    monkeypatch.setattr(trials, "run_trial", lambda _, rate, *__: Trial(rate, rate <= 100, 1.0, 2.0, 3.0, rate, 0))
    monkeypatch.setattr(clients, "capacity_per_s", lambda *_: 150.0)
    path = write_tiny_model(tmp_path / "a.onnx")
    done = in_this_process("benchmark", "load", path, "--latency-bound-ms", 20, "--threads", 1, "--max-batch", 8, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "results").glob("*-load/load.csv")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["subject"], row["max_batch"]) for row in rows] == [(how, n) for n in "81" for how in ("in process", "http")]
    for row in rows:
        assert float(row["rate_per_s"]) <= 100 < float(row["failed_rate_per_s"])
        assert float(row["failed_rate_per_s"]) <= 1.06 * float(row["rate_per_s"])
    assert "a, http, batches up to 8: " in done.stdout


def test_a_target_that_is_neither_is_told_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen", reason="needs the group loadgen")
    done = in_this_process("benchmark", "load", "absent.onnx", "--latency-bound-ms", 20, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "neither a file nor a URL" in done.stderr
