"""One run of LoadGen's Server scenario, against a session and against a server, and what its summary is read as."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.load.clients import Http, InProcess
from benchmark.load.trial import Trial, read_summary, run_trial
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
