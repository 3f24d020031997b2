"""Stops every command and runs every pair, and prints a table: `python -m tests.faults.table MOMENTS`; the lines go to stderr.

Without MOMENTS it reads the lines of `python -m tests.faults.runner` from stdin.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from core.environment import REPOSITORY
from tests.faults.commands import COMMANDS
from tests.faults.runner import FAULTS

EVERY_PAIR = 1000


def main(arguments: list[str]) -> int:
    found = [json.loads(line) for line in (_lines(int(arguments[0])) if arguments else sys.stdin)]
    print("\n".join(table(found)))
    return int(any(one["broken"] for one in found))


def _lines(moments: int) -> Iterator[str]:
    for name in (*COMMANDS, "pairs"):
        count = EVERY_PAIR if name == "pairs" else moments
        command = [sys.executable, "-m", "tests.faults.runner", name, str(count)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as running:
            assert running.stdout is not None
            for line in running.stdout:
                print(line, end="", file=sys.stderr)
                yield line
        if running.returncode:
            raise SystemExit(f"{name} ended with status {running.returncode}")


def table(found: Iterable[dict]) -> list[str]:
    """Lines of Markdown: of how many moments of each command, and of each fault, and of how many pairs, everything held."""
    all_of, held = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for one in found:
        where = (one.get("command", "pairs"), one.get("fault", ""))
        all_of[where] += 1
        held[where] += not one["broken"]
    lines = [f"| command | held | {' | '.join(FAULTS)} |", "|---" * (len(FAULTS) + 2) + "|"]
    for name in dict.fromkeys(command for command, _ in all_of):
        faults = FAULTS if name != "pairs" else ("",)
        counts = [f"{held[name, fault]} of {all_of[name, fault]}" for fault in faults]
        whole, right = (sum(count[name, fault] for fault in faults) for count in (all_of, held))
        cells = counts if name != "pairs" else [""] * len(FAULTS)
        lines.append(f"| {'every pair at once' if name == 'pairs' else name} | {right} of {whole} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
