"""What the server reads of a run folder, and what of it cannot be served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.files import sha256_of_file
from serve.runs import NEVER_SURE, files_of, read_run
from tests.commands import in_this_process


def a_run(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """`run.json` of two models, their mean, a tuned ensemble and predictions from elsewhere; and the hashes of the two."""
    models: list[dict[str, Any]] = []
    for name in "ab":
        path = folder / f"{name}.onnx"
        path.write_bytes(name.encode())
        models.append({"name": name, "path": str(path), "sha256": sha256_of_file(path)})
    hashes = [model["sha256"] for model in models]
    models.append({"name": "theirs", "path": None, "sha256": ""})
    ensembles = [
        {"name": "a+b", "members": ["a", "b"], "rule": "mean"},
        {"name": "weighted", "members": ["a", "b"], "rule": "weighted"},
        {"name": "a+theirs", "members": ["a", "theirs"], "rule": "mean"},
    ]
    thresholds = {"a": 0.5, "b": None, "a+b": 0.75, "weighted": 0.9, "theirs": 0.1, "a+theirs": 0.2}
    return {"models": models, "ensembles": ensembles, "rejects": {"max_error": 0.01, "thresholds": thresholds}}, hashes


def test_thresholds_are_known_by_the_files_they_were_chosen_for(tmp_path: Path) -> None:
    """Only for what the server can show: models that are files, and the mean of some."""
    run, (of_a, of_b) = a_run(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    found = read_run(tmp_path)
    assert found.thresholds == {frozenset([of_a]): 0.5, frozenset([of_b]): NEVER_SURE, frozenset([of_a, of_b]): 0.75}
    assert files_of(found, tmp_path) == (tmp_path / "a.onnx", tmp_path / "b.onnx")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda run, folder: (folder / "a.onnx").unlink(), "a.onnx, which"),
        (lambda run, folder: run["models"][0].update(path="\0x.onnx"), "x.onnx, which .* is missing"),
        (lambda run, folder: (folder / "b.onnx").write_bytes(b"other"), "has changed since"),
        (lambda run, folder: run.update(models=run["models"][2:]), "measured no model file"),
        (lambda run, folder: run.pop("models"), "not that of a benchmark"),
        (lambda run, folder: run.update(models=3), "not that of a benchmark"),
        (lambda run, folder: run["rejects"].update(thresholds=[1]), "not that of a benchmark"),
    ],
)
def test_what_cannot_be_served_is_one_line(change: Callable[[dict[str, Any], Path], object], says: str, tmp_path: Path) -> None:
    run, _ = a_run(tmp_path)
    change(run, tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    with pytest.raises(UserError, match=says):
        files_of(read_run(tmp_path), tmp_path)


def test_a_command_without_a_model_says_what_to_name(tmp_path: Path) -> None:
    done = in_this_process("serve", cwd=tmp_path)
    assert (done.returncode, "--run" in done.stderr, done.stderr.count("\n")) == (2, True, 1)
    done = in_this_process("serve", "--run", tmp_path / "absent", cwd=tmp_path)
    assert (done.returncode, "not that of a benchmark" in done.stderr) == (1, True)
