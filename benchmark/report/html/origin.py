"""Where the figures of a run come from: machine, versions, fingerprints, and the command that made it."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

from benchmark.options import Options
from benchmark.results import Results

FLAGS = {"time_budget_s": "--time-budget", "report": "--no-report", "runtimes": "--runtime"}  # others: as their names


def command_of(options: dict[str, Any]) -> str:
    """The command line that gives `options`, as run.json has them; defaults are left out."""
    words = ["python", "-m", "benchmark"]
    defaults = {field.name: _as_json(field.default) for field in fields(Options)}
    for name, value in options.items():
        if name not in defaults or value == defaults[name]:
            continue
        words.append(FLAGS.get(name, f"--{name.replace('_', '-')}"))
        if isinstance(value, list):
            words += ["=".join(map(str, part)) if isinstance(part, list) else str(part) for part in value]
        elif not isinstance(value, bool):
            words.append(f"{value:g}" if isinstance(value, float) else str(value))
    return shlex.join(words)


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_json(part) for part in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def facts(run: Results) -> list[tuple[str, str]]:
    """What a reader needs to judge or repeat the run, label and text."""
    run_json = run.run
    machine, dataset = run_json.get("environment", {}), run_json["dataset"]
    devices = dict.fromkeys(str(provider.get("device_name", "")) for provider in run_json.get("providers", []))
    packages = ", ".join(f"{name} {version}" for name, version in machine.get("packages", {}).items())
    commit = str(machine.get("git_commit") or "")
    changed = " with changes that are not committed" if machine.get("git_dirty") else ""
    lines = [
        ("images", f"{dataset.get('n_images', 0):,} of {dataset.get('name', '')} {dataset.get('split', '')}"),
        ("fingerprint of the images", str(dataset.get("sha256", ""))),
        *((f"SHA-256 of {model['name']}", str(model.get("sha256", ""))) for model in run_json["models"]),
        ("device", ", ".join(devices)),
        (
            "processor",
            f"{machine.get('cpu', '')}, {machine.get('cores_available', '')} cores, {' '.join(machine.get('cpu_flags', []))}",
        ),
        ("threads", str(run_json.get("threads", ""))),
        ("system", str(machine.get("platform", ""))),
        ("Python", str(machine.get("python", ""))),
        ("packages", packages),
        ("state of the code", f"{commit}{changed}"),
        ("made by", command_of(run_json.get("options", {}))),
    ]
    return [(label, text) for label, text in lines if text.strip(" ,")]
