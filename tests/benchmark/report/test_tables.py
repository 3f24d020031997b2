import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.report.tables import read_csv, write_csv

# Names that a reader without types takes for numbers, for nothing or for something else
NAMES = st.sampled_from(["0", "1", "01", "1e5", "0.5", "None", "nan", "NA", "null", "inf", "True", "", "a,b", 'q"q', "a [b]", "-"])
FIGURES = st.floats(min_value=1e-300, max_value=1e300) | st.floats(max_value=-1e-300, min_value=-1e300) | st.just(0.0)


def test_cells_have_significant_digits_or_are_empty(tmp_path) -> None:
    frame = pd.DataFrame(
        {"big": [1014450.25], "small": [1e-5], "missing": [np.nan], "mcnemar_p": [3e-90], "zero": [-0.0], "yes": [True]}
    )
    write_csv(frame, tmp_path / "a.csv")
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert row == {"big": "1014450.25", "small": "1e-05", "missing": "", "mcnemar_p": "3e-90", "zero": "0", "yes": "True"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES, FIGURES), min_size=1, max_size=6))
def test_what_is_written_is_read_back(tmp_path_factory, rows) -> None:
    path = tmp_path_factory.mktemp("tables") / "a.csv"
    write_csv(pd.DataFrame(rows, columns=["model", "true_class", "mcnemar_p"]), path)
    back = read_csv(path)
    for column, index in (("model", 0), ("true_class", 1)):
        assert back[column].fillna("").tolist() == [row[index] for row in rows]
    assert back["mcnemar_p"].astype(float).tolist() == pytest.approx([row[2] for row in rows], rel=1e-6, abs=0)
    assert "-0" not in path.read_text().replace("e-0", "").replace("-0.", "").split(",")


def test_batch_sizes_are_whole_numbers(tmp_path) -> None:
    """The oracle has no batch size, which makes the column one of floats."""
    frame = pd.DataFrame({"batch_size": [1.0, 256.0, float("nan")], "x": [0.1, 1, 2]})
    write_csv(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[1:] == ["1,0.1", "256,1", ",2"]
