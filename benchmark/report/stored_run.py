"""A finished benchmark read back from its folder: the tables, the kept predictions, the raw latency samples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.report.tables import read_csv
from core.errors import UserError, one_line
from core.records import Float32Array, Int64Array
from ensemble.rules.combination import Combination, combination, combine
from ensemble.rules.registry import DEFAULT

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StoredRun:
    """What a run folder holds; `logits` by model, ensembles included, made again from their members' kept predictions."""

    path: Path
    facts: dict[str, Any]
    comparison: pd.DataFrame
    samples: pd.DataFrame
    labels: Int64Array
    logits: dict[str, Float32Array]

    @property
    def dataset_sha256(self) -> str:
        """Fingerprint of the images that were predicted."""
        return str(self.facts["dataset"]["sha256"])

    @property
    def machine(self) -> dict[str, Any]:
        """What must be equal before two latencies may be compared: processor, cores, devices, threads."""
        environment = self.facts["environment"]
        return {
            "processor": environment["cpu"],
            "instruction sets": environment["cpu_flags"],
            "cores": environment["cores_available"],
            "devices": sorted({provider["device_name"] for provider in self.facts["providers"]}),
            "threads": self.facts["threads"],
        }


def read_run(path: Path) -> StoredRun:
    """The benchmark in folder `path`; UserError where it is no such folder or lacks a file."""
    try:
        facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
        if facts.get("what") != "benchmark":
            raise UserError(f"{path} is a run of another kind ({facts.get('what')}); name a folder that python -m benchmark made")
        comparison = read_csv(path / "comparison.csv")
        samples = read_csv(path / "latency_samples.csv.gz")
        labels, logits = _predictions(path / "predictions", facts)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is no whole benchmark run ({one_line(error, 120)}); name a folder that python -m benchmark made"
        ) from error
    return StoredRun(path, facts, comparison, samples, labels, _with_ensembles(logits, comparison, facts))


def _predictions(folder: Path, facts: dict[str, Any]) -> tuple[Int64Array, dict[str, Float32Array]]:
    labels: Int64Array = np.empty(0, dtype=np.int64)
    logits: dict[str, Float32Array] = {}
    for model in facts["models"]:
        with np.load(folder / f"{model['name']}.npz", allow_pickle=False) as kept:
            logits[model["name"]], labels = kept["logits"], kept["labels"]
    return labels, logits


def _with_ensembles(singles: dict[str, Float32Array], comparison: pd.DataFrame, facts: dict[str, Any]) -> dict[str, Float32Array]:
    """Add the logits of the ensembles that the run made, by the rule it made them with; the plain mean in older runs."""
    recorded = {
        e["name"]: Combination(e["rule"], tuple(e["weights"]), tuple(e["temperatures"])) for e in facts.get("ensembles", [])
    }
    members_of = {e["name"]: list(e["members"]) for e in facts.get("ensembles", [])}
    logits = dict(singles)
    ensembles = comparison[comparison["kind"] == "ensemble"].drop_duplicates("model")
    for name, members in zip(ensembles["model"], ensembles["members"], strict=True):
        if name not in singles:  # one that was a file has predictions of its own
            names = members_of.get(name) or str(members).split()
            logits[name], _ = combine(recorded.get(name, combination(DEFAULT, len(names))), [singles[member] for member in names])
    return logits
