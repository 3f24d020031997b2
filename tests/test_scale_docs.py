"""The figures of docs/scale.md are those of its simulation, and the simulation keeps the laws of what it simulates."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from core.environment import REPOSITORY


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scale_simulation", REPOSITORY / "docs" / "scale_simulation.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_figures_quoted_are_those_simulated(simulation: ModuleType) -> None:
    found, text = simulation.figures(), (REPOSITORY / "docs" / "scale.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert f"(ideal: {found['ideal hours']:.2f})" in rows[0][0]
    for row, kind in zip(rows[2:], ("", ", backups", ", spot"), strict=True):
        assert row[1:] == [f"{found[f'hours, {n_shards} shards{kind}']:.3g}" for n_shards in (100, 1_000, 10_000)]
    stragglers = found["hours, 10000 shards"] / found["ideal hours"] - 1
    quoted = [
        f"stragglers cost {stragglers:.0%}",
        f"repeat {found['repeated, 10000 shards, spot']:.1%}",
        f"({found['repeated, 1000 shards, spot']:.0%} with 10 per machine)",
        f"{found['GB of logits per model']:,.0f} GB per model",
        f"take {found['GB of scalars per model']:.0f} GB",
        f"{found['days to decode again']:.1f} days",
        f"{round(found['machine days, 1,000 models, decoding each time'], -2):,.0f} machine days",
        f"{round(found['machine days, 1,000 models, decoding once'], -2):,.0f} if all share",
        f"{found['pairs of 1,000 models']:,.0f} pairs",
        f"{found['GB of right or wrong']:.0f} GB.",
    ]
    words = " ".join(text.split()).replace(" %", "%")
    assert [quote for quote in quoted if quote not in words] == []


def test_machines_that_are_alike_and_stay_take_what_arithmetic_says(simulation: ModuleType) -> None:
    """7 shards on 3 machines are 3 turns, each the start and its share of the images."""
    cluster = simulation.Cluster(3, images_per_s=10, slowness=0, start_s=5)
    outcome = simulation.simulate(7000, 7, cluster)
    assert outcome.elapsed_h == pytest.approx(3 * (5 + 100) / 3600)
    assert outcome.ideal_h == pytest.approx(7000 / 10 / 3 / 3600)
    assert outcome.repeated == pytest.approx(0)


@pytest.mark.parametrize("seed", range(5))
def test_backups_never_make_it_longer_and_spot_machines_never_shorter(simulation: ModuleType, seed: int) -> None:
    common = {"n_machines": 5, "images_per_s": 100.0, "slowness": 0.5}
    plain, backed, spot = (
        simulation.simulate(1e5, 12, simulation.Cluster(**common, **more), seed)
        for more in ({}, {"backups": True}, {"lifetime_h": 0.5})
    )
    assert backed.elapsed_h <= plain.elapsed_h
    assert spot.elapsed_h >= plain.ideal_h
    assert plain.repeated == pytest.approx(0)
    assert backed.repeated >= 0
