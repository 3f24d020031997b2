"""Which ways to ask a model there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.load.subjects import Subject, ways_to_ask
from core.errors import UserError


def test_a_file_is_asked_in_four_ways_and_a_server_in_one(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").touch()
    url = "http://x:1/v2/models/b"
    subjects = [subject for subject, _ in ways_to_ask([str(tmp_path / "a.onnx"), url], 8, None)]
    assert subjects == [*(Subject("a", how, batch) for batch in (1, 8) for how in ("in process", "http")), Subject("b", url, None)]
    assert [subject.name for subject in subjects[1:4:2]] == ["a, http, no batching", "a, http, batches up to 8"]


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(UserError, match="neither a file nor a URL"):
        list(ways_to_ask(["absent.onnx"], 8, None))
