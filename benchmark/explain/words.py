"""`explain.csv` and what it means in words: where the time goes, what is fused, what is left, what the processor can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.decimals import counted
from models.graph.names import is_of_core, is_of_prefix

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = "rank node operator provider part ms_per_call share".split()
CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
LAYOUT = ("Transpose", "ReorderInput", "ReorderOutput")
INTEGER = ("QLinearConv", "QGemm", "QLinearMatMul", "ConvInteger", "MatMulInteger")
# Fused into the operator before them by ONNX Runtime, so that the graph that runs lacks them
JOINED = ("Relu", "Add", "BatchNormalization", "Clip", "HardSigmoid")
VNNI = {"avx512_vnni", "avx_vnni"}
PREPROCESSING, NETWORK, ENDING = "preprocessing", "network", "ending"
MOST_OPERATORS = 5
MOST_NODES = 3


def explain_rows(profile: Mapping[str, Any]) -> pd.DataFrame:
    """A row per node that runs, the slowest first; share: of the time inside nodes."""
    import pandas as pd

    n_calls, total_us = len(profile["calls_us"]), sum(node["us"] for node in profile["nodes"]) or 1
    ranked = sorted(profile["nodes"], key=lambda node: -node["us"])
    rows = [
        (
            rank,
            node["name"],
            node["operator"],
            node["provider"],
            part_of(node["name"]),
            node["us"] / 1e3 / n_calls,
            node["us"] / total_us,
        )
        for rank, node in enumerate(ranked, start=1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def part_of(node: str) -> str:
    """Preprocessing, network or ending, by the node's name; nodes that ONNX Runtime added are named after the node they serve."""
    return PREPROCESSING if is_of_prefix(node) else NETWORK if is_of_core(node) else ENDING


def sentences(rows: pd.DataFrame, profile: Mapping[str, Any], in_file: Mapping[str, int], flags: Sequence[str]) -> list[str]:
    """The profile in sentences, the largest share first.

    in_file: number of nodes of each operator in the file, of which fewer may run; flags: instruction sets of the CPU.
    """
    call_ms = sorted(profile["calls_us"])[len(profile["calls_us"]) // 2] / 1e3
    outside = max(0.0, 1 - rows["ms_per_call"].sum() / (sum(profile["calls_us"]) / len(profile["calls_us"]) / 1e3))
    by_operator = rows.groupby("operator")["share"].agg(["sum", "size"]).sort_values("sum", ascending=False, kind="stable")
    said = [f"one call takes {call_ms:.3g} ms (median, profiled), {outside:.0%} of it outside the operators"]
    said += [
        f"{row['sum']:.0%} of the operators' time: {operator}, {counted(int(row['size']), 'node')}"
        for operator, row in by_operator[:MOST_OPERATORS].iterrows()
    ]
    said += [f"slowest: {row['node']} ({row['operator']}), {row['share']:.0%}" for _, row in rows[:MOST_NODES].iterrows()]
    by_part = rows.groupby("part")["share"].sum().sort_values(ascending=False)
    said.append("by part: " + ", ".join(f"{part} {share:.0%}" for part, share in by_part.items()))
    providers = Counter(rows["provider"])
    said.append("run by " + ", ".join(f"{provider}: {counted(n, 'node')}" for provider, n in providers.most_common()))
    return [*said, *_fused(in_file, profile["planned"]), *_conversions(rows, in_file), *_instructions(rows, flags)]


def _fused(in_file: Mapping[str, int], planned: Mapping[str, int]) -> list[str]:
    """How many nodes of each operator in `JOINED` were fused into others."""
    said = []
    for operator in JOINED:
        n, left = in_file.get(operator, 0), planned.get(operator, 0) + planned.get(f"QLinear{operator}", 0)
        if n:
            state = "fused into the nodes before them" if left < n else "none fused into another node"
            said.append(f"{operator}: {max(0, n - left)} of {n} {state}")
    return said


def _conversions(rows: pd.DataFrame, in_file: Mapping[str, int]) -> list[str]:
    """Conversions between float and integer, and between layouts, that really run."""
    said = []
    left = rows[rows["operator"].isin(CONVERSIONS)]
    n_in_file = sum(in_file.get(operator, 0) for operator in CONVERSIONS)
    if n_in_file or len(left):
        said.append(
            f"QuantizeLinear and DequantizeLinear: {len(left)} of the {n_in_file} in the file run as nodes of their own, "
            f"{left['share'].sum():.1%} of the time: {', '.join(left['node'][:MOST_NODES]) or 'none'}"
        )
    moved = rows[rows["operator"].isin(LAYOUT)]
    if len(moved):
        said.append(f"changes of layout ({', '.join(sorted(set(moved['operator'])))}): {moved['share'].sum():.1%} of the time")
    return said


def _instructions(rows: pd.DataFrame, flags: Sequence[str]) -> list[str]:
    """What the processor's instruction sets mean for this model."""
    integer = rows[rows["operator"].isin(INTEGER)]["share"].sum()
    widest = next((name for name in ("avx512f", "avx2", "asimd", "neon") if name in flags), "no known wide vectors")
    vnni = VNNI.intersection(flags)
    said = f"instruction set: {widest}, {'with' if vnni else 'without'} VNNI"
    if integer and not vnni:
        said += f": the {integer:.0%} in integer products take several instructions each where VNNI takes one"
    elif integer:
        said += f", which the {integer:.0%} in integer products use"
    return [said]
