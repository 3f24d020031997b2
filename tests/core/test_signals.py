"""What signals become: an interrupt says how to go on, where that is known, also where a library made an error of it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from core.cli import INTERRUPTED, run
from core.environment import REPOSITORY
from core.signals import Stopped, become_interrupts, held, interrupt_behind, told_how_to_go_on


def of_library(error: BaseException) -> ImportError:
    made = ImportError("numpy.core failed to import")
    made.__cause__ = error
    return made


@pytest.mark.parametrize(
    ("raised", "how", "said"),
    [
        (KeyboardInterrupt(), "go on", "interrupted; go on"), (Stopped(15), "go on", "stopped by signal 15; go on"),
        (of_library(Stopped(15)), "go on", "stopped by signal 15; go on"), (KeyboardInterrupt("x; go on"), "go on", "x; go on"),
        (Stopped(15), "", "stopped by signal 15"),
    ],
)  # fmt: skip
def test_an_interrupt_says_how_to_go_on(raised: BaseException, how: str, said: str) -> None:
    with pytest.raises((KeyboardInterrupt, ImportError)) as caught, told_how_to_go_on(lambda: how):
        raise raised
    assert str(interrupt_behind(caught.value)) == said


def test_an_error_that_no_signal_caused_is_left_alone() -> None:
    with pytest.raises(ImportError, match=r"^torch$"), told_how_to_go_on(lambda: "go on"):
        raise ImportError("torch")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_held_signal_comes_at_the_end_of_the_block(number: signal.Signals) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    with pytest.raises(KeyboardInterrupt), become_interrupts():
        with held():
            signal.raise_signal(number)
            done.append("whole")
        done.append("never")
    assert done == ["whole"]
    assert interrupt_behind(RuntimeError("of what follows")) is None


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_at_once_does_not_cut_the_clean_up_short(second: signal.Signals) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cleaned = []
    with pytest.raises(KeyboardInterrupt), become_interrupts():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(second)
            cleaned.append(True)
    assert cleaned == [True]
    signal.raise_signal(signal.SIGINT)  # after the work: ignored


def test_a_second_ctrl_c_a_second_later_ends_a_clean_up_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    clock_s = iter([10.0, 11.5, 11.5])
    monkeypatch.setattr("core.signals.time.monotonic", lambda: next(clock_s))
    reached = []
    with pytest.raises(KeyboardInterrupt), become_interrupts():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            reached.append(True)
    assert reached == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    ("then", "line"), [("AttributeError('x')", None), ("UserError('no space; free some')", "no space; free some")]
)
def test_an_error_that_nobody_foresaw_after_a_forgotten_signal_is_its_consequence(name: str, then: str, line: str | None) -> None:
    code = (
        "import os, signal, time\n"
        "from core.cli import run\nfrom core.errors import UserError\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def main(arguments):\n"
        "    try:\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "        time.sleep(60)\n"
        "    except BaseException:\n"
        "        pass\n"
        f"    raise {then}\n"
        "run(main)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    said = "interrupted" if name == "SIGINT" else f"stopped by signal {signal.SIGTERM:d}"
    assert (done.returncode, done.stderr) == (1 if line else INTERRUPTED, f"error: {line or said}\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_as_an_interrupt_and_cleans_up_however_often_it_comes(name: str, tmp_path) -> None:
    code = (
        "import os, pathlib, signal, sys, time\n"
        "from core.cli import run\nfrom core.files import run_folder\n"
        "def main(arguments):\n"
        "    try:\n"
        "        with run_folder('x', pathlib.Path(arguments[0])):\n"
        f"            os.kill(os.getpid(), signal.{name})\n"
        "            time.sleep(30)\n"
        "    finally:\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "run(main)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == INTERRUPTED
    assert done.stderr == f"error: stopped by signal {getattr(signal, name):d}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("when", ["at once", "as Python ends", "when Python has taken its handlers away"])
@pytest.mark.parametrize("status", [0, 1])
def test_a_signal_that_comes_when_the_work_is_done_changes_nothing(name: str, when: str, status: int) -> None:
    code = (
        "import atexit, os, signal, sys\n"
        "from core.cli import run\nfrom core.errors import UserError\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Last:\n"
        "    def __init__(self):\n"
        "        self.kill, self.arguments = os.kill, (os.getpid(), signal.NAME)\n"
        "    def __del__(self):\n"
        "        self.kill(*self.arguments)\n"
        "def main(arguments):\n"
        "    if 'Python has' in WHEN: sys.modules['last'] = Last()\n"
        "    if 'as Python' in WHEN: atexit.register(lambda: os.kill(os.getpid(), signal.NAME))\n"
        "    if STATUS: raise UserError('wrong; mend it')\n"
        "    print('done')\n"
        "try:\n"
        "    run(main)\n"
        "finally:\n"
        "    if WHEN == 'at once': os.kill(os.getpid(), signal.NAME)\n"
    ).replace("NAME", name).replace("WHEN", repr(when)).replace("STATUS", str(status))  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    expected = (1, "", "error: wrong; mend it\n") if status else (0, "done\n", "")
    assert (done.returncode, done.stdout, done.stderr) == expected


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_comes_in_a_destructor_is_not_lost(name: str) -> None:
    code = (
        "import os, signal, time\n"
        "from core.cli import run\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Dying:\n"
        "    def __del__(self):\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "        time.sleep(0)\n"
        "def main(arguments):\n"
        "    Dying()\n"
        "    time.sleep(60)\n"
        "run(main)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    said = "interrupted" if name == "SIGINT" else f"stopped by signal {signal.SIGTERM:d}"
    assert (done.returncode, done.stderr) == (INTERRUPTED, f"error: {said}\n")


def test_a_signal_that_nohup_has_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGHUP, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit):
            run(lambda _: 0, [])
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
