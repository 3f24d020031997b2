"""The command that answers whether a variant is faster: a planted machine, and the sentence on the slowest rival."""

from pathlib import Path

import pytest

from benchmark.latency import variant_ratio
from benchmark.latency.pairs import LatencyPair
from core.errors import UserError
from tests.planted_machine import PlantedMachine
from tests.tiny_models import write_tiny_model


def test_a_model_that_takes_half_the_time_is_found_faster_at_each_batch_size(tmp_path: Path, monkeypatch, capsys) -> None:
    machine = PlantedMachine({"quick": 0.001, "slow": 0.002}, noise=0.02).install(monkeypatch)
    paths = [str(write_tiny_model(tmp_path / f"{name}.onnx")) for name in machine.call_s]
    assert variant_ratio.main([*paths, "--batch-sizes", "4", "1", "--rounds", "8", "--threads", "1"]) == 0
    assert len(machine.jobs) == 2 * 2 * 8
    said = capsys.readouterr().out.splitlines()
    assert "8 rounds" in said[0] and "1 thread," in said[0]
    pairs = [line for line in said if "÷" in line]
    assert [line.split(" (")[0][:-4] for line in pairs] == ["batch 1: quick ÷ slow: 0", "batch 4: quick ÷ slow: 0"]
    assert all(line.endswith("faster") for line in pairs)
    assert said[-1].startswith("at batch 1, quick against the slowest rival, slow: faster, 0.")


def test_the_slowest_rival_is_that_of_the_batch_size() -> None:
    def pair(rival: str, batch_size: int, ratio: float, verdict: str) -> LatencyPair:
        return LatencyPair("v", rival, "CPU", batch_size, "host-to-host", 8, ratio, (ratio, ratio), 0.5, verdict)

    pairs = [pair("a", 1, 0.9, "no credible difference"), pair("b", 1, 0.5, "faster"), pair("a", 32, 1.2, "slower")]
    p50_ms = {("v", 1): 1.0, ("a", 1): 1.1, ("b", 1): 2.0, ("v", 32): 1.2, ("a", 32): 1.0}
    assert (
        variant_ratio.against_slowest("v", 1, p50_ms, pairs)
        == "at batch 1, v against the slowest rival, b: faster, 0.500 × its p50"
    )
    assert variant_ratio.against_slowest("v", 32, p50_ms, pairs).endswith("a: slower, 1.200 × its p50")
    undecided = variant_ratio.against_slowest("v", 1, p50_ms, pairs[:1])
    assert "no credible difference in speed" in undecided


@pytest.mark.parametrize("arguments", [["v.onnx", "a.onnx", "--rounds", "7"], ["v.onnx", "v.onnx"], ["v.onnx", "x/v.onnx"]])
def test_nonsense_is_one_line(arguments: list[str]) -> None:
    with pytest.raises(UserError, match=r"see python -m benchmark variant-ratio --help"):
        variant_ratio.main(arguments)
