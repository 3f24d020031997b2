import errno
import re
import subprocess
import sys

import pytest

from core.cli import INTERRUPTED, guard, run
from core.environment import REPOSITORY
from core.errors import UserError, one_line
from tests.commands import packages_imported_for

ROOMS = ("core", "data", "models", "train", "export", "ensemble", "benchmark")
COMMANDS = sorted(
    {
        found
        for room in ROOMS
        for path in (REPOSITORY / room).rglob("*.py")
        for found in re.findall(r'prog="python -m ([\w. -]+)"', path.read_text(encoding="utf-8"))
    }
)


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
        (OSError(errno.ENOSPC, "No space left on device", "a.csv"), 1, "error: No space left on device (a.csv)\n"),
        (RuntimeError("two\nlines"), 1, "error: RuntimeError: two lines; add --traceback to see where\n"),
    ],
)
def test_every_exception_is_one_line_and_a_status(error, status, line, capsys) -> None:
    assert guard(_raising(error), []) == status
    assert capsys.readouterr().err == line


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


def test_sigterm_ends_as_an_interrupt_and_cleans_up(tmp_path) -> None:
    code = (
        "import os, pathlib, signal, sys, time\n"
        "from core.cli import run\nfrom core.files import run_folder\n"
        "def main(arguments):\n"
        "    with run_folder('x', pathlib.Path(arguments[0])):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(30)\n"
        "run(main)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == INTERRUPTED
    assert done.stderr == "error: stopped by signal 15\n"
    assert list(tmp_path.iterdir()) == []


def test_the_commands_are_found() -> None:
    assert {"benchmark", "benchmark compare", "data", "ensemble", "export.quantize", "export.to_onnx", "train.bench"} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_but_the_standard_library(command: str) -> None:
    """That is why it is quick: of all that a `--help` does, only imports of packages take long, and those can be counted."""
    help_, packages = packages_imported_for(*command.split(), "--help")
    assert f"usage: python -m {command}" in help_
    assert packages == set()
