"""What a budget buys, on places that take known seconds a round."""

from __future__ import annotations

import pytest

from benchmark.latency_pairs import MIN_PAIRS
from benchmark.latency_schedule import FEWEST_ROUNDS, Place, Schedule
from benchmark.sessions import CPU

SMALL, MIDDLE, LARGE = ((CPU, batch_size, "host-to-host") for batch_size in (1, 32, 256))
SECONDS = {SMALL: 2.0, MIDDLE: 4.0, LARGE: 10.0}  # of one round; two processes each


def simulated(budget_s: float, min_rounds: int = FEWEST_ROUNDS) -> tuple[dict[Place, int], float, list[set[Place]], str]:
    """Rounds of each place, seconds that all took, the places of each round, and the note."""
    schedule, elapsed_s, rounds = Schedule(SECONDS, budget_s, min_rounds), 0.0, []
    while places := schedule.next_round(elapsed_s):
        for place in places:
            for _ in range(2):
                schedule.spent(place, SECONDS[place] / 2)
            elapsed_s += SECONDS[place]
        schedule.done(places)
        rounds.append(places)
    return schedule.rounds, elapsed_s, rounds, schedule.notes(elapsed_s)[0]


def test_every_place_is_in_the_first_rounds_whatever_they_take() -> None:
    rounds, elapsed_s, _, note = simulated(budget_s=0)
    assert set(rounds.values()) == {FEWEST_ROUNDS}
    assert elapsed_s == 48
    assert "more than the budget of 0 s" in note
    assert set(simulated(budget_s=0, min_rounds=20)[0].values()) == {20}


def test_the_quickest_places_are_brought_to_a_verdict_first() -> None:
    # after three rounds of everything, 48 s, 30 s bring the two quicker places to eight rounds, 10 s and 20 s
    rounds, elapsed_s, _, note = simulated(budget_s=78)
    assert rounds == {SMALL: MIN_PAIRS, MIDDLE: MIN_PAIRS, LARGE: FEWEST_ROUNDS}
    assert elapsed_s == 78
    assert "3 to 8" in note
    assert "--time-budget 128 would buy the 8 that a verdict needs everywhere" in note  # five more rounds of 10 s


def test_what_the_note_asks_for_is_what_it_takes() -> None:
    rounds, elapsed_s, _, note = simulated(budget_s=128)
    assert set(rounds.values()) == {MIN_PAIRS}
    assert elapsed_s == 128
    assert "latency: 8 rounds" in note
    assert "would buy" not in note
    assert "--time-budget 512 intervals about half as wide" in note


def test_beyond_the_verdicts_all_places_go_on_together() -> None:
    rounds, elapsed_s, each, _ = simulated(budget_s=128 + 3 * 16)
    assert set(rounds.values()) == {MIN_PAIRS + 3}
    assert elapsed_s == 176
    assert all(places == set(SECONDS) for places in each[MIN_PAIRS:])


@pytest.mark.parametrize("budget_s", [48, 55, 60, 78, 100, 130, 300])
def test_a_budget_is_kept_and_used(budget_s: float) -> None:
    rounds, elapsed_s, _, _ = simulated(budget_s)
    assert elapsed_s <= budget_s
    left_s = budget_s - elapsed_s
    lacking = [SECONDS[place] for place, n in rounds.items() if n < MIN_PAIRS]
    assert left_s < (min(lacking) if lacking else sum(SECONDS.values()))
