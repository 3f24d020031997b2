"""Where the time of training steps goes: waiting for data, forward and backward, other."""

from __future__ import annotations

import time
from collections.abc import Callable

PARTS = ("data", "forward_backward", "other")


class StepClock:
    """Adds up seconds by part of a step; every moment between `begin` and the last `lap` belongs to one part.

    wait: called before each look at the time, to let work end that a device does on its own; doing nothing spares that time.
    """

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        self.wait = wait
        self.begin()

    def begin(self) -> None:
        """Start again at zero."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.n_steps = 0
        self._last_s = time.perf_counter()

    def lap(self, part: str) -> None:
        """The time since the last lap went into `part`; a step ends with "other"."""
        self.wait()
        now_s = time.perf_counter()
        self.seconds[part] += now_s - self._last_s
        self.n_steps += part == "other"
        self._last_s = now_s

    def shares(self) -> dict[str, float]:
        """Fraction of the time that each part took, which sum to 1; zeros before the first lap."""
        total = sum(self.seconds.values())
        return {part: seconds / total if total else 0.0 for part, seconds in self.seconds.items()}

    def line(self) -> str:
        """What a person reads."""
        step_ms = 1000 * sum(self.seconds.values()) / max(1, self.n_steps)
        shares = ", ".join(f"{part.replace('_', '/')} {share:.1%}" for part, share in self.shares().items())
        return f"step {step_ms:,.1f} ms: {shares}"
