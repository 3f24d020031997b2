"""`python -m ensemble` in this process, and what a refusal of it looks like."""

from subprocess import CompletedProcess

from tests.commands import in_this_process


def command(*arguments: object) -> CompletedProcess[str]:
    return in_this_process("ensemble", *arguments)


def refused(done: CompletedProcess[str], *parts: str, status: int = 1) -> None:
    assert done.returncode == status, done.stdout
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr
