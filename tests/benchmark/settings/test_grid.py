"""Settings that fit the cores of a process, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.options import Options
from benchmark.settings.grid import Setting, settings_of, threads_of_run, wanted_settings
from core.errors import UserError

COUNTS = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple)


@given(COUNTS, COUNTS, st.integers(1, 16))
def test_every_pair_that_fits_is_compared_and_every_other_is_named(instances, threads, cores) -> None:
    pairs = {Setting(n, t) for n in instances for t in threads}
    fit = {pair for pair in pairs if pair.instances * pair.threads <= cores}
    if not fit:
        with pytest.raises(UserError, match=f"this process may use {cores}"):
            settings_of(instances, threads, cores)
        return
    found, notes = settings_of(instances, threads, cores)
    assert (set(found), len(found)) == (fit, len(fit))
    assert all(str(pair) in " ".join(notes) for pair in pairs - fit)
    assert bool(notes) == bool(pairs - fit)


@given(COUNTS, st.integers(1, 16))
def test_without_threads_the_instances_share_the_cores(instances, cores) -> None:
    if min(instances) <= cores:
        found, _ = settings_of(instances, (), cores)
        assert all(setting.threads == cores // setting.instances for setting in found)
        assert {setting.instances for setting in found} == {n for n in instances if n <= cores}


def test_a_plain_run_compares_none() -> None:
    for options in (Options(), Options(threads=1), Options(threads=1, time_budget_s=0)):
        assert wanted_settings(options, cores=2, has_files=True) == ([], [])
        assert wanted_settings(options, cores=2, has_files=False) == ([], [])


def test_what_cannot_be_timed_is_refused() -> None:
    for asked in ({"instances": (1, 2)}, {"threads": (1, 2)}):
        with pytest.raises(UserError, match="--time-budget 0"):
            wanted_settings(Options(**asked, time_budget_s=0), cores=2, has_files=True)
        with pytest.raises(UserError, match="name some with --models"):
            wanted_settings(Options(**asked), cores=2, has_files=False)


def test_everything_else_runs_on_the_most_threads_that_fit() -> None:
    assert threads_of_run((), 4) == 4
    assert threads_of_run((1,), 4) == 1
    assert threads_of_run((1, 2, 8), 4) == 2
    with pytest.raises(UserError, match="--threads 8: this process may use 4 cores"):
        threads_of_run((8,), 4)
