"""Profiles one model in a process of its own: `python -m benchmark.explain.worker`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from core.launch import answer_parent

WARM_UP = 3


def profile(job: dict[str, Any]) -> dict[str, Any]:
    """Run a model on seeded noise; job: path, provider, threads, batch_size, n_calls, image_height, image_width.

    Answer: calls_us, the time of each call after warming up; nodes, a list of name, operator, provider and us, all of these calls
    together, in the order in which they run; planned, how many nodes of each operator the graph that really runs has.
    """
    import numpy as np

    from models.graph.contract import IMAGES
    from models.runtimes.onnx_runtime import OUTPUTS, PLANNED, session

    shape = (job["batch_size"], job["image_height"], job["image_width"], 3)
    noise_u8 = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        opened = session(Path(job["path"]), job["path"], job["provider"], job["threads"], Path(folder))
        for _ in range(WARM_UP + job["n_calls"]):
            opened.run(OUTPUTS, {IMAGES: noise_u8})
        events = json.loads(Path(opened.end_profiling()).read_text(encoding="utf-8"))
        return {**summary(events, WARM_UP), "planned": operators(Path(folder) / PLANNED)}


def summary(events: list[dict[str, Any]], warm_up: int) -> dict[str, Any]:
    """Calls and nodes of a profile, without the first `warm_up` calls."""
    calls = sorted((event for event in events if event["name"] == "model_run"), key=lambda event: event["ts"])[warm_up:]
    begin = calls[0]["ts"]
    nodes: dict[str, dict[str, Any]] = {}
    for event in events:
        name = event["name"].removesuffix("_kernel_time")
        if event["cat"] != "Node" or name == event["name"] or event["ts"] < begin:
            continue
        about = event["args"]
        node = nodes.setdefault(name, {"name": name, "operator": about["op_name"], "provider": about["provider"], "us": 0})
        node["us"] += event["dur"]
    return {"calls_us": [call["dur"] for call in calls], "nodes": list(nodes.values())}


def operators(path: Path) -> dict[str, int]:
    """How many nodes of each operator a file has."""
    from collections import Counter

    import onnx

    return dict(Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node))


if __name__ == "__main__":
    sys.exit(answer_parent(profile))
