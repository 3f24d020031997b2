"""Every text reaches people in any encoding, any width, through a pipe that closes, and with the names it was given."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.columns import Columns
from rich.table import Table
from rich.text import Text

from core import console as terminal
from core.cli import run
from core.console import PLAIN_SIGNS, columns_to_fit, fits, make_output_safe, natural_width, output_console, readable
from core.errors import UserError

ENCODINGS = ("ascii", "latin-1", "cp1252", "utf-8", "euc-jp")


@pytest.fixture(autouse=True)
def _handler(capsys: pytest.CaptureFixture[str]) -> None:
    make_output_safe()


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text())
def test_every_text_is_printed_and_what_the_encoding_has_is_untouched(encoding: str, text: str) -> None:
    printed = text.encode(encoding, PLAIN_SIGNS)
    assert printed.isascii() or encoding != "ascii" or any("\udc80" <= sign <= "\udcff" for sign in text)
    kept = "".join(sign for sign in text if sign.isascii())
    assert kept.encode(encoding, PLAIN_SIGNS) == kept.encode(encoding)


def test_signs_of_the_reports_keep_their_meaning() -> None:
    assert "88.1–89.9 ×2 → 5 … café ≥1 Δ".encode("ascii", PLAIN_SIGNS) == b"88.1-89.9 x2 > 5 ... caf? >=1 ?"
    assert "×é".encode("latin-1", PLAIN_SIGNS) == b"\xd7\xe9"
    assert "剪".encode("ascii", PLAIN_SIGNS) == b"??"  # as wide as the sign, which a table has counted on


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(letter=st.characters(categories=["L", "M", "N"]))
def test_no_letter_or_digit_becomes_another(encoding: str, letter: str) -> None:
    """A path that is printed is that path, or is seen not to be: `models/café` is never `models/cafe`."""
    printed = letter.encode(encoding, PLAIN_SIGNS).decode(encoding)
    assert printed == letter or set(printed) == {"?"}


@given(raw=st.binary())
def test_the_bytes_of_a_file_name_come_out_as_they_are_and_its_readable_form_fits_every_file(raw: bytes) -> None:
    name = raw.decode("utf-8", "surrogateescape")
    assert name.encode("utf-8", PLAIN_SIGNS) == raw
    readable(name).encode("utf-8")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("width", ["1", "40", "80", "100", "120", ""])
def test_tables_are_whole_in_every_encoding_and_width(encoding: str, width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setenv("COLUMNS", width)
    make_output_safe()
    table = Table(title="a – title → here")
    table.add_column("model", overflow="fold")
    table.add_row("resnet18_with_a_name[int8]_longer_than_forty_columns")
    output_console().print(table)
    sys.stdout.flush()
    assert b"resnet18_with_a_name[int8]_longer_than_forty_columns" in raw.getvalue()


@given(name=st.text(st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters="\x7f"), min_size=1, max_size=30))
def test_names_are_never_markup(name: str) -> None:
    """Brackets, emoji codes, backslashes: all are part of a name. Control characters cannot be seen and are left out."""
    shown = "".join(sign for sign in f"[bold]{name}[/] :warning:" if sign.isprintable())
    table = Table(title=shown)
    table.add_column("model")
    table.add_row(shown)
    raw, before = io.StringIO(), sys.stdout
    sys.stdout = raw
    try:
        output_console().print(table)
        output_console().print(shown, soft_wrap=True)
    finally:
        sys.stdout = before
    assert raw.getvalue().count(shown) >= 2


def test_a_table_fits_where_its_natural_width_does(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("x" * 76)
    assert natural_width(table) == 80
    for columns, expected in (("80", True), ("79", False), ("", True), ("nonsense", True)):
        monkeypatch.setenv("COLUMNS", columns)
        assert fits(table) is expected
    assert columns_to_fit() == terminal.PIPED_COLUMNS


def _to_a_closed_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", open(writer, "w", encoding="utf-8"))  # noqa: SIM115  # closed with the test


@pytest.mark.parametrize("say", [print, lambda text: output_console().print(text), lambda text: print(text, flush=True)])
@pytest.mark.parametrize("status", [0, 3])
def test_a_reader_who_leaves_changes_neither_the_work_nor_its_status(
    say: Callable[[str], None], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _to_a_closed_pipe(monkeypatch)
    done = []

    def main(arguments: object) -> int:
        for line in range(3):
            say("x" * 100_000)
            done.append(line)
        return status

    with pytest.raises(SystemExit) as ended:
        run(main, [])
    assert ended.value.code == status
    assert done == [0, 1, 2]
    sys.stdout.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdout", open("/dev/full", "w", encoding="utf-8"))  # noqa: SIM115

    def main(arguments: object) -> None:
        print("a table")

    with pytest.raises(SystemExit) as ended:
        run(main, [])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: cannot write to /dev/full: No space left on device; free some space")
    sys.stdout.close()


def test_without_any_stdout_the_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    def main(arguments: object) -> int:
        output_console().print("nobody reads this")
        return 3

    with pytest.raises(SystemExit) as ended:
        run(main, [])
    assert ended.value.code == 3


def test_errors_are_printed_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))

    def main(arguments: object) -> None:
        raise UserError("模型.onnx takes 3×3 images – not 4×4")

    with pytest.raises(SystemExit):
        run(main, [])
    sys.stderr.flush()
    assert raw.getvalue() == b"error: ????.onnx takes 3x3 images - not 4x4\n"


HOSTILE = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\u202ee\x1b[31mf\udc9bg\u2028h"


@pytest.mark.parametrize("coloured", [False, True])
def test_no_name_commands_the_terminal(coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    monkeypatch.setattr(stream, "isatty", lambda: coloured)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    make_output_safe()
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    output_console().print(table)
    terminal.print_lines([HOSTILE], style="bold")
    output_console().print(Text(HOSTILE), Columns([Text(HOSTILE)]))
    terminal.print_note(HOSTILE)
    with terminal.progress() as display:
        terminal.print_line(display, HOSTILE)
        print(HOSTILE)
    print(HOSTILE)
    sys.stdout.flush()
    said = raw.getvalue().decode()
    ours = re.sub(r"\x1b\[(?!31m|2J)[0-9;?]*[A-Za-z]", "", said)  # rich's own colours and moves
    assert said.count("title") >= 9
    assert (said != ours) is coloured
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u202e]", ours)


def test_what_this_program_colours_keeps_its_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.StringIO()
    monkeypatch.setattr(sys, "stdout", raw)
    make_output_safe()
    with terminal.own_colours():
        print("\x1b[1mhelp\x1b[0m")
    print("\x1b[1mname")
    assert raw.getvalue() == "\x1b[1mhelp\x1b[0m\n�[1mname\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_byte_of_a_file_name_commands_an_8_bit_terminal(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    make_output_safe()
    name = b"caf\xe9\x9b31m".decode("ascii", "surrogateescape")
    print(name)
    terminal.print_lines([name])
    sys.stdout.flush()
    said = raw.getvalue()
    assert b"\x9b" not in said
    assert said.count(b"caf\xe9") == 2  # which is the name's


def test_a_name_begins_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_lines(["results: no\nanswer: evil\tor\u2028not"])
    terminal.print_note("note: x\nerror: forged")
    with terminal.progress() as display:
        terminal.print_line(display, "note: x\nerror: forged")
    said = capsys.readouterr()
    assert said.out == "results: no�answer: evil�or�not\n"
    assert said.err == "note: x�error: forged\n" * 2


def test_a_file_name_becomes_text_of_one_line() -> None:
    assert readable("a\nb\x1bc\udc80") == "a�b�c�"
    assert readable("caf\udcc3\udca9 \ud800") == "café �"  # as an ASCII locale reads UTF-8, and as JSON may say


def test_stderr_is_silent_below_python_for_a_while(tmp_path: Path) -> None:
    kept, said = os.dup(2), os.open(tmp_path / "said", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 2)
    try:
        os.write(2, b"before ")
        with pytest.raises(KeyError), terminal.without_stderr():
            os.write(2, b"within ")
            raise KeyError
        os.write(2, b"after")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(said)
    assert (tmp_path / "said").read_text() == "before after"


def test_lines_and_notes_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.StringIO()
    monkeypatch.setattr(raw, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", raw)
    monkeypatch.setattr(sys, "stderr", raw)
    make_output_safe()
    with terminal.progress(ticking=False) as display:
        display.add_task("work", total=2)
        display.refresh()
        terminal.print_lines(["a line"])
        terminal.print_note("a note")
    assert "\x1b[2Ka line\n" in raw.getvalue() and "\x1b[2Ka note\n" in raw.getvalue()  # the bar was erased before each
