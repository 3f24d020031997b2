import argparse
import errno
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.cli import (
    INTERRUPTED,
    USAGE,
    HelpWithDefaults,
    Parser,
    at_once,
    file_to_write,
    fraction,
    guard,
    milliseconds,
    not_negative,
    points,
    positive,
    run,
    seconds,
    usable_threads,
)
from core.environment import REPOSITORY
from core.errors import UserError, one_line
from core.installed import dispatch
from tests.commands import in_this_process, packages_imported_for

ROOMS = ("core", "data", "models", "train", "export", "ensemble", "benchmark")
COMMANDS = sorted(
    {
        found
        for room in ROOMS
        for path in (REPOSITORY / room).rglob("*.py")
        for found in re.findall(r'prog="python -m ([\w. -]+)"', path.read_text(encoding="utf-8"))
    }
    | {"data show"}
)
# Made of the trainers' flags, which tyro reads; the packages of the benchmark alone do not bring it.
OF_TRAINERS = {"train.search"}
COMMANDS = [command for command in COMMANDS if command not in OF_TRAINERS or importlib.util.find_spec("tyro")]


def _raising(error: BaseException):
    def main(arguments):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("no models in models/;\n run it"), 1, "error: no models in models/; run it\n"),
        (UserError("a gate", exit_code=3), 3, "error: a gate\n"),
        (KeyboardInterrupt(), INTERRUPTED, "error: interrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.csv"),
            1,
            "error: No space left on device (a.csv); free some space, or choose another folder\n",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/here']"),
            1,
            "error: No usable temporary directory found in ['/tmp', '/here']; free some space, raise the limit on the size of "
            "files (ulimit -f), or set TMPDIR to another folder\n",
        ),
        (RuntimeError("two\nlines"), 1, "error: RuntimeError: two lines; add --traceback to see where\n"),
    ],
)
def test_every_exception_is_one_line_and_a_status(error, status, line, capsys) -> None:
    assert guard(_raising(error), []) == status
    assert capsys.readouterr().err == line


def test_a_signal_of_which_a_library_made_an_error_of_its_own_is_an_interrupt(capsys) -> None:
    imported = ImportError("initialization failed")
    imported.__cause__ = KeyboardInterrupt("stopped by signal 15")
    wrapped = UserError("a.pth cannot be exported (initialization failed); add --traceback to see where")
    wrapped.__cause__ = imported
    for error in (imported, wrapped):
        assert guard(_raising(error), []) == INTERRUPTED
        assert capsys.readouterr().err == "error: stopped by signal 15\n"


@pytest.mark.parametrize(("module", "packages"), [("torch_lr_finder.sub", {"torch"}), ("tyro", {"torch", "tensorflow"})])
def test_a_missing_package_of_an_extra_is_an_error_that_says_how_to_get_it(module: str, packages: set[str], capsys) -> None:
    assert guard(_raising(ModuleNotFoundError(f"No module named {module!r}", name=module)), []) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {module} is not installed; install it with ")
    assert packages <= set(said.replace(",", " ").split())
    assert said.count("\n") == 1


def test_traceback_is_taken_out_of_the_arguments_and_shows_the_cause(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        run(_raising(UserError("wrong")), ["--traceback", "--x"])
    assert ended.value.code == 1
    assert "Traceback" in capsys.readouterr().err

    def main(arguments):
        assert arguments == ["--x"]

    with pytest.raises(SystemExit) as ended:
        run(main, ["--x", "--traceback"])
    assert ended.value.code == 0


def test_one_line_shortens() -> None:
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError("x" * 500), 10) == "x" * 9 + "…"
    assert one_line(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("value", "valid"),
    [("2", True), ("4,2", True), (" 08 ", True), ("", False), ("0", False), ("a\x1b", False), ("9999", True), ("10000", False)],
)
def test_a_number_of_threads_that_is_none_is_told_once_and_forgotten(value: str, valid: bool, monkeypatch, capsys) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    seen = []
    with pytest.raises(SystemExit):
        run(lambda _: seen.append(os.environ.get("OMP_NUM_THREADS")), [])
    assert seen == [value if valid else None]
    said = capsys.readouterr().err
    assert said.startswith("note: OMP_NUM_THREADS=") != valid
    assert "\x1b" not in said


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied", "a\x1b[2Jb"), MemoryError("8 TiB"), OSError("odd")])
def test_what_a_machine_refuses_is_told_with_what_to_do_and_commands_no_terminal(error, capsys) -> None:
    assert guard(_raising(error), []) == 1
    line = capsys.readouterr().err
    assert ";" in line and "traceback" not in line and "\x1b" not in line and line.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("main", ["lambda _: Parser(prog='x').parse_args(['--help'])", "lambda _: print('done')"])
def test_an_output_without_room_is_named(main: str) -> None:
    code = f"from core.cli import Parser, run; run({main})"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output: No space left on device; free some space, or send it elsewhere\n"


def test_the_backend_of_a_notebook_is_not_that_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://absent_from_here")
    seen = []
    with pytest.raises(SystemExit):
        run(lambda _: seen.append(os.environ["MPLBACKEND"]), [])
    assert seen == ["agg"]


def test_a_cut_compiled_module_is_told_with_what_to_delete(capsys) -> None:
    assert guard(_raising(EOFError("marshal data too short")), []) == 1
    line = capsys.readouterr().err
    assert "delete every folder __pycache__ in " in line and str(REPOSITORY) in line and line.count("\n") == 1


def test_the_commands_are_found() -> None:
    assert {"benchmark", "benchmark compare", "data", "ensemble", "export.quantize", "export.to_onnx", "train.bench"} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_but_the_standard_library(command: str) -> None:
    """That is why it is quick: of all that a `--help` does, only imports of packages take long, and those can be counted."""
    help_, packages = packages_imported_for(*command.split(), "--help")
    assert f"usage: python -m {command}" in help_
    assert packages <= ({"tyro", "docstring_parser", "typing_extensions"} if command in OF_TRAINERS else set())


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (positive, {"1": 1, "32": 32}, ["0", "-1", "1.5", "x", "9" * 20, "9" * 5000]),
        (usable_threads, {"1": 1}, ["0", "100000", "x"]),
        (at_once, {"1": 1, "1000": 1000}, ["0", "1001", "x"]),
        (not_negative, {"0": 0}, ["-1"]),
        (seconds, {"0": 0.0, "2.5": 2.5}, ["-1", "nan", "inf", "2e6"]),
        (milliseconds, {"0.5": 0.5}, ["0", "-1", "nan", "inf"]),
        (fraction, {"0": 0.0, "0.95": 0.95, "1": 1.0}, ["95", "-0.1", "nan"]),
        (points, {"0.5": 0.5, "100": 100.0}, ["-1", "101", "nan"]),
    ],
)
def test_types_of_arguments(kind: Callable[[str], float], good: dict[str, float], bad: list[str]) -> None:
    parser = Parser(prog="x")
    parser.add_argument("--n", type=kind)
    assert {text: parser.parse_args([f"--n={text}"]).n for text in good} == good
    for text in bad:
        with pytest.raises(UserError, match="argument --n: ") as caught:
            parser.parse_args([f"--n={text}"])
        assert caught.value.exit_code == USAGE


MAINS = [command.split()[0] for command in COMMANDS if " " not in command]


@pytest.mark.parametrize("module", MAINS)
@pytest.mark.parametrize("empty", [["--out", ""], ["--out="], ["--out", " "], ["--data", "", "--out", "x"]])
def test_no_command_takes_an_empty_value(module: str, empty: list[str], tmp_path, monkeypatch) -> None:
    """`--out ''`, an unset variable of a shell, would be the folder one stands in."""
    monkeypatch.chdir(tmp_path)
    before = ["show", "digits"] if module == "data" else []
    done = in_this_process(module, *before, *empty, cwd=tmp_path)
    assert done.returncode == USAGE
    assert done.stderr == f"error: {empty[0].rstrip('=')} is empty; give it a value, or leave it out\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_flag_that_no_command_has_ends_each_with_the_status_of_argparse(command: str, tmp_path, monkeypatch) -> None:
    with pytest.raises(SystemExit) as of_argparse:
        argparse.ArgumentParser().parse_args(["--no-such-flag"])
    module, *words = command.split()
    done = in_this_process(module, *words, "--no-such-flag", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (of_argparse.value.code, "", 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_the_installed_command_ends_with_the_same_status_for_a_word_that_is_no_command(capsys) -> None:
    for arguments in (["no-such-command"], ["benchmark", "--no-such-flag"], ["compare", "a"]):
        assert guard(dispatch, arguments) == USAGE
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_where_a_run_goes_is_said_in_one_way(command: str) -> None:
    """--out DIR or, beside an --out for models, --results-dir; benchmarks, exports, variants and timings alike."""
    help_ = " ".join(packages_imported_for(*command.split(), "--help")[0].split())
    of_runs = "folder in which the run's own folder is made (default: results)"
    makes_runs = command in (
        "benchmark",
        "benchmark explain",
        "benchmark load",
        "benchmark merge",
        "benchmark selfcheck",
        "train.bench",
        "data show",
        "export.to_onnx",
        "export.quantize",
    )
    assert (of_runs in help_) is makes_runs
    assert "(default: results) (default" not in help_


def test_help_breaks_no_name_and_shows_the_defaults_that_there_are(monkeypatch) -> None:
    """At any width a name can be copied from it; a default is typed as it is shown."""
    parser = Parser(formatter_class=HelpWithDefaults)
    parser.add_argument("--runtime", help="one of cpu, openvino-bf16, another-name-with-hyphens")
    parser.add_argument("--sizes", type=int, nargs="+", default=(1, 32), help="sizes")
    parser.add_argument("--share", default="50 %", help="share")
    parser.add_argument("--seed", type=int, default=0, help="seed")
    parser.add_argument("--quiet", action="store_true", help="quiet")
    for columns in range(40, 90):
        monkeypatch.setenv("COLUMNS", str(columns))
        words = parser.format_help().split()
        assert {"openvino-bf16,", "another-name-with-hyphens"} <= set(words)
    text = " ".join(words)
    for told in ("sizes (default: 1 32)", "share (default: 50 %)", "seed (default: 0)"):
        assert told in text
    assert text.count("default") == 3


def test_a_model_is_written_only_where_a_runtime_opens_it() -> None:
    assert file_to_write("m/é.onnx", ".onnx") == Path("m/é.onnx")
    with pytest.raises(UserError, match=r"m/x.\.onnx has a name that is not UTF-8, which a model needs here; choose another --out"):
        file_to_write("m/x\udcff.onnx", ".onnx")
