"""The command that a page names is one that makes the same options."""

import json
import shlex
from dataclasses import asdict

import pytest

from benchmark.command import parse
from benchmark.report.html.origin import command_of


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--models a.onnx 'my model.onnx' --data digits --ensemble mean weighted --time-budget 20 --batch-sizes 1 8",
        "--no-report --openvino --max-latency-ms 2.5 --min-accuracy 0.95 --at-batch 32 --exclude duplicates",
        "--fail-if 'nll > 1' 'top1_accuracy < 0.9' --split validation --limit 100 --threads 1 --out there --profile",
        "--runtime openvino --predictions theirs=a.csv 'other=my predictions.npz'",
    ],
)
def test_it_parses_to_what_the_run_was_asked_for(line: str) -> None:
    options = parse(shlex.split(line))
    kept = json.loads(json.dumps(asdict(options), default=str))
    words = shlex.split(command_of(kept))
    assert words[:3] == ["python", "-m", "benchmark"]
    assert parse(words[3:]) == options
