"""The highest rate that passes, by bisection; several subjects in turns, so that drift of the machine favours none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmark.load.trial import Trial

CLOSE_ENOUGH = 1.05  # ratio of the lowest rate that failed to the highest that passed
FIRST_SHARE = 0.7  # of the closed loop's throughput
MOST_TRIALS = 20


@dataclass
class Bracket:
    """The rates between which the answer lies; `passed` is the trial of the highest rate that passed, None if none did yet.

    A rate fails if it fails twice: other work on the machine can make a good rate fail, but nothing makes a bad one pass.
    """

    capacity_per_s: float
    passed: Trial | None = None
    failed_per_s: float | None = None
    trials: list[Trial] = field(default_factory=list)

    def next_rate_per_s(self) -> float | None:
        """The rate to try next, None if the answer is close enough."""
        if len(self.trials) >= MOST_TRIALS:
            return None
        if self._in_doubt():
            return self.trials[-1].rate_per_s
        if self.passed is None and self.failed_per_s is None:
            return self.capacity_per_s * FIRST_SHARE
        if self.passed is None:
            return (self.failed_per_s or 0.0) / 2
        if self.failed_per_s is None:
            return self.passed.rate_per_s * 1.3
        if self.failed_per_s / self.passed.rate_per_s <= CLOSE_ENOUGH:
            return None
        return float((self.failed_per_s * self.passed.rate_per_s) ** 0.5)

    def note(self, trial: Trial) -> None:
        """Narrow the bracket."""
        self.trials.append(trial)
        if self._in_doubt():
            return
        if not trial.passed:
            self.failed_per_s = min(trial.rate_per_s, self.failed_per_s or trial.rate_per_s)
        elif self.passed is None or trial.rate_per_s > self.passed.rate_per_s:
            self.passed = trial

    def _in_doubt(self) -> bool:
        """Whether the last rate has failed, but only once."""
        return [trial.passed for trial in self.trials if trial.rate_per_s == self.trials[-1].rate_per_s] == [False]


def search(brackets: Mapping[str, Bracket], try_rate: Callable[[str, float], Trial]) -> None:
    """Narrow each bracket until it is close enough, one trial of each in turn."""
    left = list(brackets)
    while left:
        for name in list(left):
            rate_per_s = brackets[name].next_rate_per_s()
            if rate_per_s is None:
                left.remove(name)
            else:
                brackets[name].note(try_rate(name, rate_per_s))
