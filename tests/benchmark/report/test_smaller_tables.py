"""The smaller tables: three digits as they are read; what a row of robustness says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.report.names import Names
from benchmark.report.smaller_tables import robustness_table, three_digits
from benchmark.results import Results
from benchmark.robustness.table import Robustness, robustness_pairs, summary_rows
from core.console import output_console


@pytest.mark.parametrize(("value", "shown"), [(0.01694, "0.0169"), (3951.0, "3950"), (0.0, "0"), (np.nan, "")])
def test_three_digits(value: float, shown: str) -> None:
    assert three_digits(value) == shown


def test_the_verdict_names_the_other_model(capsys: pytest.CaptureFixture[str]) -> None:
    right = {"a": {"fog": np.arange(500)[None] < 300}, "b": {"fog": np.arange(500)[None] < 400}}
    found = Robustness("our corruptions", ("fog",), "b", dict.fromkeys("ab", np.ones(500, bool)), right)
    tables = {"robustness_summary.csv": summary_rows(found), "robustness_pairs.csv": robustness_pairs(found, ["a", "b"], {})}
    output_console().print(robustness_table(Results(Path("none"), {}, tables), Names({})))
    shown = capsys.readouterr().out
    for said in ("less robust", "than b", "60.00", "+40.00", "2.00", "our corruptions, 500 images"):
        assert said in shown
