"""Shares by hand, the order of the words, and what is said of conversions, fusions and instruction sets."""

from __future__ import annotations

import pytest

from benchmark.explain.words import ENDING, NETWORK, PREPROCESSING, explain_rows, part_of, sentences

PROFILE = {
    "calls_us": [1000, 1000],
    "nodes": [
        {"name": "prefix/scaled", "operator": "Mul", "provider": "CPU", "us": 100},
        {"name": "core/conv_token_1", "operator": "QLinearConv", "provider": "CPU", "us": 1200},
        {"name": "core/x_q", "operator": "QuantizeLinear", "provider": "CPU", "us": 200},
        {"name": "last", "operator": "Softmax", "provider": "CPU", "us": 100},
    ],
    "planned": {"QLinearConv": 1, "QuantizeLinear": 1, "QLinearAdd": 1},
}
IN_FILE = {"QuantizeLinear": 3, "DequantizeLinear": 4, "Relu": 2, "Add": 1}


def said(flags: list[str]) -> list[str]:
    return sentences(explain_rows(PROFILE), PROFILE, IN_FILE, flags)


def test_rows_are_ranked_and_shares_sum_to_1() -> None:
    rows = explain_rows(PROFILE)
    assert rows["node"].tolist()[:2] == ["core/conv_token_1", "core/x_q"]
    assert rows["share"].tolist() == [0.75, 0.125, 0.0625, 0.0625]
    assert rows["ms_per_call"].iloc[0] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("node", "part"),
    [("m0_prefix/resize", PREPROCESSING), ("m1_core/conv", NETWORK), ("core/conv", NETWORK), ("node_logits", ENDING)],
)
def test_parts_are_told_by_name_in_ensembles_too(node: str, part: str) -> None:
    assert part_of(node) == part


def test_words_begin_with_the_largest_share_and_name_what_is_left() -> None:
    lines = said(["avx2"])
    assert lines[0] == "one call takes 1 ms (median, profiled), 20% of it outside the operators"
    assert lines[1] == "75% of the operators' time: QLinearConv, 1 node"
    text = "\n".join(lines)
    assert "1 of the 7 in the file run as nodes of their own, 12.5% of the time: core/x_q" in text
    assert "Relu: 2 of 2 fused into the nodes before them" in text
    assert "Add: 0 of 1 none fused" in text


def test_vnni_is_missed_only_where_integers_are_multiplied() -> None:
    assert "avx2, without VNNI: the 75% in integer products" in said(["avx2"])[-1]
    assert (
        said(["avx2", "avx512f", "avx512_vnni"])[-1] == "instruction set: avx512f, with VNNI, which the 75% in integer products use"
    )
    floats = {**PROFILE, "nodes": PROFILE["nodes"][:1]}
    assert sentences(explain_rows(floats), floats, {}, ["avx2"])[-1] == "instruction set: avx2, without VNNI"
