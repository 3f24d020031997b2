"""Child processes that work at the same time: each gets ready, they start together, and each stays at work until all are done."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from core.errors import UserError
from core.launch import TIMEOUT_S, Killed, bytecode_settings, how_it_ended, own_environment, own_module, own_stdout

_READY, _DONE = "ready", "done"


def ask_together(
    module: str, jobs: Sequence[Mapping[str, Any]], what: str, *, otherwise: str, timeout_s: float = TIMEOUT_S
) -> list[dict[str, Any]]:
    """The answers of one `python -m module` per job, all alive at once; the module calls `answer_together`.

    UserError naming `what`, and what to do `otherwise`, for the first child that fails. No child outlives this call.
    """
    children: list[_Child] = []

    def give_up() -> None:
        for child in children:
            child.process.kill()

    watch = threading.Timer(timeout_s, give_up)
    watch.daemon = True
    watch.start()
    try:
        for job in jobs:
            children.append(_Child(module, what, otherwise))
            children[-1].say(json.dumps(job))
        for step in (_READY, _DONE):
            for child in children:
                child.hear_at(step)
            for child in children:
                child.say("go on")
        return [child.hear() for child in children]
    finally:
        watch.cancel()
        for child in children:
            child.end()


class _Child:
    """One child process, called `what` in errors."""

    def __init__(self, module: str, what: str, otherwise: str) -> None:
        import subprocess

        self.what, self.otherwise = what, otherwise
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by `end`; a pipe would fill
        self.process = subprocess.Popen(
            own_module(module), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            encoding="utf-8", errors="replace", env={**own_environment(), **bytecode_settings()},
        )  # fmt: skip

    def say(self, line: str) -> None:
        """Write a line to it; if it has ended already, the next `hear` says why."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Its next line; UserError if that is an error, or if it ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            kind = Killed if self.process.wait() < 0 else UserError
            self.errors.seek(0)
            said = self.errors.read().strip().splitlines()[-1:] or [f"a process {how_it_ended(self.process.returncode)}"]
            raise kind(f"{self.what} failed: {said[0]}; {self.otherwise}")
        heard: dict[str, Any] = json.loads(line)
        if "error" in heard:
            raise UserError(f"{self.what} failed: {heard['error']}")
        return heard

    def hear_at(self, step: str) -> None:
        """Wait until it has reached `step`; UserError if it says anything else."""
        heard = self.hear()
        if heard != {"at": step}:
            raise UserError(f"{self.what} failed: a process said {str(heard)[:80]} where it should be {step}; {self.otherwise}")

    def end(self) -> None:
        """End it and close its pipes; it has answered or is no longer needed."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdout.close()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.errors.close()


class Meeting:
    """The points at which a child waits for the others."""

    def __init__(self, commands: IO[str], channel: IO[str]) -> None:
        self._commands, self._channel = commands, channel

    def start(self) -> None:
        """Wait until all others are ready, too; end this process if the parent has given up."""
        self._say({"at": _READY})
        if not self._commands.readline():
            sys.exit(1)

    def stay(self, call: Callable[[], object]) -> None:
        """Go on calling until all others are done, too, so that all are timed under equal load."""
        listening = threading.Thread(target=self._commands.readline, daemon=True)
        self._say({"at": _DONE})
        listening.start()
        while listening.is_alive():
            call()

    def _say(self, line: Mapping[str, Any]) -> None:
        print(json.dumps(line), file=self._channel, flush=True)


def answer_together(work: Callable[[dict[str, Any], Meeting], dict[str, Any]]) -> int:
    """Answer the job on stdin with `work(job, meeting)`, or with `error` and one line where it raises a UserError.

    The work calls `meeting.start` and then `meeting.stay`, once each.
    """
    channel = own_stdout()
    try:
        answer = work(json.loads(sys.stdin.readline()), Meeting(sys.stdin, channel))
    except UserError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), file=channel, flush=True)
    return 0
