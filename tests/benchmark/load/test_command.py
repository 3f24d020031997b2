"""`python -m benchmark load`: the table has a row for each way to ask a model."""

from __future__ import annotations

import csv
import socket
import threading
from pathlib import Path

import pytest

from benchmark.load import closed_loop, worker
from benchmark.load import trial as trials
from benchmark.load.command import COLUMNS
from benchmark.load.trial import Trial
from tests.commands import in_this_process
from tests.tiny_models import write_tiny_model


@pytest.mark.optional
def test_the_table_has_a_row_for_each_way_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LoadGen's runs replaced by a machine that keeps up to 100 queries a second."""
    pytest.importorskip("mlperf_loadgen", reason="needs the group loadgen")
    pytest.importorskip("uvicorn", reason="needs the group serve")
    monkeypatch.setattr(trials, "run_trial", lambda _, rate, *__: Trial(rate, rate <= 100, 1.0, 2.0, 3.0, rate, 0))
    monkeypatch.setattr(closed_loop, "capacity_per_s", lambda *_: 150.0)
    monkeypatch.setattr("core.launch.converse", lambda _module, job, heard, **_: worker.work(job, heard))
    path = write_tiny_model(tmp_path / "a.onnx")
    done = in_this_process(
        "benchmark",
        "load",
        path,
        "--latency-bound-ms",
        20,
        "--threads",
        1,
        "--max-batch",
        8,
        "--clients",
        1,
        "--rounds",
        1,
        "--trial",
        0,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "results").glob("*-load/load.csv")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["subject"], row["max_batch"]) for row in rows] == [(how, n) for n in "18" for how in ("in process", "http")]
    for row in rows:
        assert float(row["rate_per_s"]) <= 100 < float(row["failed_rate_per_s"])
        assert float(row["failed_rate_per_s"]) <= 1.06 * float(row["rate_per_s"])
    assert "a, http, batches up to 8: " in done.stdout
    (loops,) = (tmp_path / "results").glob("*-load/clients.csv")
    assert len(loops.read_text(encoding="utf-8").splitlines()) == 1 + 4
    assert "1 at a time, a, http, no batching: " in done.stdout


def test_a_target_that_is_neither_is_told_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen", reason="needs the group loadgen")
    done = in_this_process("benchmark", "load", "absent.onnx", "--latency-bound-ms", 20, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "neither a file nor a URL" in done.stderr


@pytest.mark.parametrize(("status", "says"), [(None, "nothing answers at"), (404, "answers 404"), (401, "key")])
def test_a_server_that_does_not_answer_is_told_in_one_line(status: int | None, says: str, tmp_path: Path) -> None:
    """A closed port, an unknown name, a key that is missing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v2/models/a"
        if status is None:
            listening.close()
        else:
            threading.Thread(target=_answer_once, args=(listening, status)).start()
        done = in_this_process("benchmark", "load", url, "--clients", 1, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert says in done.stderr and "urlopen" not in done.stderr


def _answer_once(listening: socket.socket, status: int) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
