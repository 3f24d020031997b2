"""Tables that read back and hold no formula."""

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from core.files import (
    as_cell,
    as_named,
    no_formula,
    own_name,
    write_csv,
)


@given(rows=st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"])), min_size=2, max_size=2)))
def test_a_table_reads_back_and_its_lines_end_in_line_feeds(rows: list[list[str]]) -> None:
    with TemporaryDirectory() as folder:
        write_csv(Path(folder) / "a.csv", ["one", "two"], rows)
        with open(Path(folder) / "a.csv", newline="", encoding="utf-8") as file:
            text = file.read()
    read = [[as_named(value) for value in row] for row in csv.reader(io.StringIO(text))]
    assert read == [["one", "two"], *rows]
    assert text.count("\n") == 1 + len(rows) and "\r" not in text


@given(st.text(st.sampled_from("'=+-@\t\r 1e.x"), max_size=6))
def test_no_cell_is_a_formula_and_every_name_is_read_back(name: str) -> None:
    cell = no_formula(name)
    assert as_named(cell) == name
    try:
        float(cell)
    except ValueError:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_what_no_program_shows_is_in_no_cell(tmp_path: Path) -> None:
    names = ["caf\udce9.png", "=\x1b[31mbad\x07", "a\nb\tc\rd", "\x9b31m\ud800", "café"]
    write_csv(tmp_path / "a.csv", ["file"], ([name] for name in names))
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert text.splitlines() == ["file", "caf�.png", "'=�[31mbad�", "a�b�c�d", "�31m�", "café"]
    assert [as_cell(as_cell(name)) for name in names] == ["caf�.png", "''=�[31mbad�", "a�b�c�d", "�31m�", "café"]
    assert as_cell(1.5) == 1.5 and as_cell(None) is None


@given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_a_name_taken_from_a_cell_or_from_the_disk_is_known_again(name: str) -> None:
    assert own_name(no_formula(name), {name}) == name == own_name(name, {name})
