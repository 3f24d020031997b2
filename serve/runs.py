"""Reads from a run folder of the benchmark the model files to serve, and the thresholds below which an answer is 'not sure'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError, one_line
from core.files import is_file, parse_json, read_text, sha256_of_file

NEVER_SURE = 2.0  # above every probability: no threshold met --max-error
HOW = "python -m benchmark --ensemble --max-error 0.01 chooses thresholds"


@dataclass(frozen=True)
class MeasuredRun:
    """The models of a run by the SHA-256 of their files, and its thresholds by the hashes of a model or of a mean's members."""

    files: Mapping[str, Path]
    thresholds: Mapping[frozenset[str], float]


def read_run(folder: Path) -> MeasuredRun:
    """The models and thresholds in `run.json`; UserError if it is not that of a benchmark."""
    path = folder / "run.json"
    try:
        run: dict[str, Any] = parse_json(read_text(path))
        measured = {str(model["name"]): model for model in run["models"] if model.get("path")}
        hashes = {name: str(model["sha256"]) for name, model in measured.items()}
        members = {name: frozenset([sha256]) for name, sha256 in hashes.items()}
        for ensemble in run["ensembles"]:
            if ensemble["rule"] == "mean" and set(ensemble["members"]) <= set(hashes):
                members[str(ensemble["name"])] = frozenset(hashes[name] for name in ensemble["members"])
        chosen = (run.get("rejects") or {}).get("thresholds", {})
        thresholds = {members[name]: NEVER_SURE if at is None else float(at) for name, at in chosen.items() if name in members}
        files = {hashes[name]: Path(model["path"]) for name, model in measured.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"is not that of a benchmark ({one_line(error, 80)}); name a folder that python -m benchmark made"
        raise UserError(f"{path} {what}") from error
    return MeasuredRun(files, thresholds)


def files_of(run: MeasuredRun, folder: Path) -> tuple[Path, ...]:
    """The measured model files; UserError if one is gone or has changed since."""
    if not run.files:
        raise UserError(f"{folder} measured no model file; name the models to serve before --run")
    for sha256, path in run.files.items():
        if not is_file(path):
            raise UserError(f"{path}, which {folder} measured, is missing; run this where the run was made, or name the models")
        if sha256_of_file(path) != sha256:
            raise UserError(f"{path} has changed since {folder} measured it; run the benchmark again, or name the models")
    return tuple(run.files.values())
