"""Tables that sort by numbers, with the whole file beside them unless it is too long."""

import base64

from benchmark.report.html import sheets as rooms
from benchmark.report.html.sheets import MOST_ROWS, sheets
from tests.made_folder import write_folder


def test_cells_hold_the_figures_of_the_file(tmp_path) -> None:
    run = write_folder(tmp_path, page=False)
    found = {sheet.file: sheet for sheet in sheets(run)}
    comparison = found["comparison.csv"]
    at = comparison.columns.index("top1_accuracy")
    assert [row[at].value for row in comparison.rows] == run.comparison["top1_accuracy"].tolist()
    assert [row[0].text for row in comparison.rows] == run.comparison["model"].tolist()
    assert {row[0].value for row in comparison.rows} == {None}
    assert base64.b64decode(comparison.csv_base64) == (run.folder / "comparison.csv").read_bytes()


def test_the_most_frequent_confusions_come_first_and_are_cut(tmp_path) -> None:
    run = write_folder(tmp_path, page=False)
    confusions = next(sheet for sheet in sheets(run) if sheet.file == "confusion.csv")
    counts = [row[-1].value for row in confusions.rows]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) <= MOST_ROWS < confusions.n_rows == len(run.confusion)
    assert all(row[1].text != row[2].text for row in confusions.rows)


def test_a_long_file_stays_in_the_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(rooms, "MOST_CSV_BYTES", 100)
    assert {sheet.csv_base64 for sheet in sheets(write_folder(tmp_path, page=False))} == {""}
