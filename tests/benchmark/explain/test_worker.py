"""A profile by hand: warm-up left out, nodes summed; and the operators that a file holds."""

from __future__ import annotations

from pathlib import Path

import onnx

from benchmark.explain.worker import operators, summary
from tests.tiny_models import write_tiny_model


def event(name: str, ts: int, dur: int, operator: str = "") -> dict[str, object]:
    about = {"op_name": operator, "provider": "CPU"} if operator else {}
    return {"cat": "Node" if operator else "Session", "name": name, "ts": ts, "dur": dur, "args": about}


def test_the_first_calls_do_not_count_and_the_others_are_summed() -> None:
    events = [
        event("session_initialization", 0, 900),
        event("model_run", 1000, 500),
        event("a_kernel_time", 1010, 400, "Conv"),
        event("model_run", 2000, 100),
        event("a_kernel_time", 2010, 60, "Conv"),
        event("b_kernel_time", 2080, 10, "Relu"),
        event("model_run", 3000, 120),
        event("a_kernel_time", 3010, 80, "Conv"),
        event("b_fence_before", 3090, 7, "Relu"),
    ]
    found = summary(events, 1)
    assert found["calls_us"] == [100, 120]
    assert [(node["name"], node["operator"], node["us"]) for node in found["nodes"]] == [("a", "Conv", 140), ("b", "Relu", 10)]


def test_operators_are_those_of_the_file(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.onnx")
    assert sum(operators(path).values()) == len(onnx.load(path).graph.node)
    assert operators(path)["Conv"] == 1
