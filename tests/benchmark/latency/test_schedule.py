"""What a budget buys, on places that take known seconds a round."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.latency.pairs import MIN_PAIRS
from benchmark.latency.schedule import FEWEST_ROUNDS, WHOLE, FixedRounds, Place, ProcessCost, RoundCosts, Schedule, Share
from models.runtimes.registry import CPU

SMALL, MIDDLE, LARGE = ((CPU, batch_size, "host-to-host") for batch_size in (1, 32, 256))
SECONDS = {SMALL: 2.0, MIDDLE: 4.0, LARGE: 10.0}  # of one round; two processes each
ALL_VERDICTS_S = MIN_PAIRS * sum(SECONDS.values())


class Simulated:
    """A run of a schedule on rounds that take `seconds`; a place that was not timed is expected to take exactly that too."""

    def __init__(self, budget_s: float, seconds: dict[Place, float] | None = None, share: Share = WHOLE) -> None:
        self.seconds = seconds or SECONDS
        costs = RoundCosts({place: ["a", "b"] for place in self.seconds}, lambda call_s: call_s)
        costs.round_s = lambda place: self.seconds[place]  # type: ignore[method-assign]
        self.schedule, self.elapsed_s, self.each = Schedule(list(self.seconds), budget_s, costs, share), 0.0, []
        self.plan_line = ""
        while places := self.schedule.next_round(self.elapsed_s):
            self.elapsed_s += sum(self.seconds[place] for place in places)
            self.schedule.done(places)
            self.each.append(places)
            if len(self.each) == 1:
                self.plan_line, self.planned = self.schedule.plan_line(self.elapsed_s), self.schedule.plan(self.elapsed_s)
        self.rounds = self.schedule.rounds
        (self.note,) = self.schedule.notes(self.elapsed_s)


def budgets_in(text: str) -> list[int]:
    return [int(seconds) for seconds in re.findall(r"--time-budget (\d+)", text)]


def test_the_first_batch_size_gets_its_verdicts_before_anything_else_is_timed() -> None:
    run = Simulated(60)
    assert run.each[:MIN_PAIRS] == [{SMALL}] * MIN_PAIRS
    assert run.each[MIN_PAIRS : MIN_PAIRS + FEWEST_ROUNDS] == [{MIDDLE}] * FEWEST_ROUNDS
    # 16 s and 12 s leave 32 s: three rounds of the large batch, and nothing else has room
    assert run.rounds == {SMALL: 8, MIDDLE: 3, LARGE: 3}
    assert run.elapsed_s == 58
    assert "batch 1 × 8 rounds, batch 32 × 3 rounds, batch 256 × 3 rounds" in run.note


def test_batch_sizes_are_dropped_before_rounds() -> None:
    # 16 s at batch 1, 12 s at batch 32; 30 s at batch 256 have no room in 50, so its time goes to the others' verdicts
    run = Simulated(50)
    assert run.rounds == {SMALL: 8, MIDDLE: 8, LARGE: 0}
    assert "no room for batch 256, which --time-budget 61 has" in run.note
    assert Simulated(27).rounds == {SMALL: 13, MIDDLE: 0, LARGE: 0}
    assert Simulated(9).rounds == {SMALL: 4, MIDDLE: 0, LARGE: 0}
    assert "for speed verdicts run with --time-budget 17; no room for batch 32 and 256" in Simulated(9).note


def test_another_batch_size_may_come_first() -> None:
    run = Simulated(40, {MIDDLE: 4.0, SMALL: 2.0, LARGE: 10.0})
    assert run.each[:MIN_PAIRS] == [{MIDDLE}] * MIN_PAIRS
    assert run.rounds == {MIDDLE: 8, SMALL: 4, LARGE: 0}


@pytest.mark.parametrize("budget_s", [0, 0.5, 1.5])
def test_one_round_is_timed_whatever_it_takes_and_that_is_said(budget_s: float) -> None:
    run = Simulated(budget_s)
    assert run.rounds == {SMALL: 1, MIDDLE: 0, LARGE: 0}
    for line in (run.plan_line, run.note):
        assert f"about 2 s, more than the budget of {budget_s:g} s" in f"about {line.split(': ', 1)[1]}".replace(
            "about about", "about"
        )


@given(st.floats(2, 500), st.lists(st.floats(0.5, 20), min_size=3, max_size=3))
def test_a_budget_is_kept_and_used(budget_s: float, seconds: list[float]) -> None:
    run = Simulated(budget_s, dict(zip(SECONDS, sorted(seconds), strict=True)))
    smallest_s = run.seconds[SMALL]
    assert run.elapsed_s <= max(budget_s, smallest_s) + 1e-6
    left_s = budget_s - run.elapsed_s
    timed = [place for place, n in run.rounds.items() if n]
    assert left_s < sum(run.seconds[place] for place in timed) + 1e-6
    assert all(run.seconds[place] > left_s - 1e-6 for place in timed if run.rounds[place] < MIN_PAIRS)


@given(st.floats(2, 500))
def test_a_batch_size_is_timed_only_when_the_first_is_decided_and_the_smaller_ones_have_their_rounds(budget_s: float) -> None:
    rounds = Simulated(budget_s).rounds
    if rounds[MIDDLE]:
        assert rounds[SMALL] >= MIN_PAIRS
        assert rounds[MIDDLE] >= FEWEST_ROUNDS
    if rounds[LARGE]:
        assert rounds[MIDDLE] >= FEWEST_ROUNDS
        assert rounds[LARGE] >= FEWEST_ROUNDS


@given(st.floats(2, 500))
def test_the_plan_is_what_is_then_timed(budget_s: float) -> None:
    run = Simulated(budget_s)
    assert run.planned == (run.rounds, pytest.approx(run.elapsed_s))


def test_the_plan_names_seconds_models_batch_sizes_and_rounds() -> None:
    assert Simulated(60).plan_line == (
        "latency plan, estimated from the first round: about 58 s: 2 models, batch 1 × 8 rounds, batch 32 × 3 rounds, "
        "batch 256 × 3 rounds; for speed verdicts at every batch size run with --time-budget 135"
    )
    assert Simulated(9).plan_line == (
        "latency plan, estimated from the first round: about 8 s: 2 models, batch 1 × 4 rounds; "
        "for speed verdicts run with --time-budget 17; no room for batch 32 and 256, which --time-budget 61 has"
    )


def test_a_slow_first_round_is_why_the_plan_and_the_end_ask_for_different_budgets_and_each_says_of_which_rounds() -> None:
    costs = RoundCosts({SMALL: ["a"]}, lambda call_s: call_s)
    schedule, plans = Schedule([SMALL], 5, costs), []
    for elapsed_s, process_s in ((3.0, 3.0), (4.0, 1.0)):
        costs.add(SMALL, "a", ProcessCost(process_s, 0.5, 0.1))
        schedule.done({SMALL})
        plans.append(schedule.plan_line(elapsed_s))
    (note,) = schedule.notes(4.0)
    assert (budgets_in(plans[0]), budgets_in(note)) == ([26], [17])  # 8 rounds of 3 s and of 2 s, and 5 %
    assert "estimated from the first round" in plans[0]
    assert "by the time of all rounds, for speed verdicts" in note


def test_what_a_line_asks_for_is_what_it_takes() -> None:
    verdicts, room = budgets_in(Simulated(9).note)
    assert Simulated(verdicts).rounds[SMALL] >= MIN_PAIRS
    assert Simulated(room).rounds == {SMALL: 8, MIDDLE: 3, LARGE: 3}
    (everywhere,) = budgets_in(Simulated(60).note)
    assert min(Simulated(everywhere).rounds.values()) == MIN_PAIRS
    assert everywhere == pytest.approx(ALL_VERDICTS_S, rel=0.06)


def test_beyond_the_verdicts_all_places_go_on_together() -> None:
    run = Simulated(ALL_VERDICTS_S + 3 * 16)
    assert set(run.rounds.values()) == {MIN_PAIRS + 3}
    assert run.elapsed_s == 176
    assert run.each[-3:] == [set(SECONDS)] * 3
    assert run.note.endswith("--time-budget 704 makes intervals about half as wide")


def test_providers_share_the_first_rounds_and_then_the_first_one_goes_first() -> None:
    other = ("OpenVINORuntime", 1, "host-to-host")
    seconds = {SMALL: 2.0, other: 1.0, MIDDLE: 4.0}
    assert Simulated(60, seconds).each[1] == {SMALL, other}
    assert Simulated(16, seconds).rounds == {SMALL: 6, other: 4, MIDDLE: 0}
    assert Simulated(2, seconds).rounds == {SMALL: 1, other: 0, MIDDLE: 0}
    assert f"no room for batch 1 on OpenVINORuntime, batch 32 on {CPU}, which" in Simulated(2, seconds).note
    assert Simulated(24, seconds).rounds == {SMALL: 8, other: 8, MIDDLE: 0}


def test_so_many_rounds_of_everything_where_a_number_is_asked_for() -> None:
    schedule, n = FixedRounds(list(SECONDS), 20), 0
    while places := schedule.next_round(1e9 * n):
        assert places == set(SECONDS)
        schedule.done(places)
        n += 1
    assert (n, schedule.notes(1e9), schedule.plan_line(1e9)) == (20, [], "")


def test_a_place_is_expected_to_take_what_its_models_calls_take_times_the_images() -> None:
    models = {place: ["a", "b"] for place in SECONDS}
    costs = RoundCosts(models, lambda call_s: 3 * call_s)
    with pytest.raises(ValueError, match="no round"):
        costs.round_s(SMALL)
    costs.add(SMALL, "a", ProcessCost(process_s=1.0, calls_s=0.4, call_s=0.01))
    costs.add(SMALL, "b", ProcessCost(process_s=2.0, calls_s=0.5, call_s=0.02))
    assert costs.round_s(SMALL) == pytest.approx(3.0)
    assert costs.round_s(MIDDLE) == pytest.approx(0.6 + 3 * 0.32 + 1.5 + 3 * 0.64)
    # once batch 32 was timed, it is what batch 256 is scaled from: batching made its images half as dear
    for model, call_s in (("a", 0.16), ("b", 0.32)):
        costs.add(MIDDLE, model, ProcessCost(process_s=1.0, calls_s=0.5, call_s=call_s))
    assert costs.round_s(MIDDLE) == pytest.approx(2.0)
    assert costs.round_s(LARGE) == pytest.approx(0.5 + 3 * 1.28 + 0.5 + 3 * 2.56)
    # and its own rounds are believed more than either; their mean where there are several
    costs.add(LARGE, "a", ProcessCost(5.0, 4.0, 1.0))
    costs.add(LARGE, "a", ProcessCost(7.0, 4.0, 1.0))
    costs.add(LARGE, "b", ProcessCost(8.0, 4.0, 1.0))
    assert costs.round_s(LARGE) == pytest.approx(14.0)


def test_an_experiment_with_a_share_of_the_budget_asks_for_budgets_of_the_whole_run() -> None:
    whole, half = (Simulated(9, share=share) for share in (WHOLE, Share(0.5, "settings", "setting")))
    assert half.rounds == whole.rounds
    found = list(zip(budgets_of(whole), budgets_of(half), strict=True))
    assert len(found) == 4
    assert all(2 * (of_whole - 1) < of_half <= 2 * of_whole for of_whole, of_half in found)
    assert half.note.startswith("settings: 8 s: batch 1")
    assert half.plan_line.startswith("settings plan, estimated from the first round: about 8 s: 2 settings, batch 1")


def budgets_of(run: Simulated) -> list[int]:
    return budgets_in(run.plan_line) + budgets_in(run.note)
