"""The meters against memory that is taken on purpose, and against counters made of files."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from benchmark.costs.meters import package_energy_j, peak_mb, resident_mb, why_no_energy


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_the_peak_holds_what_was_held_and_let_go() -> None:
    taken = np.ones(200_000_000, np.uint8)
    held_mb = resident_mb()
    del taken
    assert peak_mb() >= held_mb - 5 >= 195  # the kernel keeps both a little behind, each by its own pages
    assert resident_mb() < held_mb - 150


def test_without_the_files_there_are_no_figures_but_a_reason(tmp_path) -> None:
    assert math.isnan(peak_mb(tmp_path / "none"))
    assert math.isnan(package_energy_j(tmp_path))
    assert str(tmp_path) in why_no_energy(tmp_path)


def test_kilobytes_are_1024_bytes(tmp_path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  125000 kB\nVmRSS:\t  62500 kB\n")
    assert (peak_mb(tmp_path / "status"), resident_mb(tmp_path / "status")) == (128, 64)


def test_packages_are_added_and_their_parts_are_not(tmp_path) -> None:
    for domain, microjoules in {"intel-rapl:0": 2_500_000, "intel-rapl:1": 500_000, "intel-rapl:0:0": 2_000_000}.items():
        (tmp_path / domain).mkdir()
        (tmp_path / domain / "energy_uj").write_text(f"{microjoules}\n")
    assert package_energy_j(tmp_path) == 3
    assert why_no_energy(tmp_path) == ""


def test_a_counter_that_cannot_be_read_is_named(tmp_path) -> None:
    (tmp_path / "intel-rapl:0").mkdir()
    assert why_no_energy(tmp_path).endswith("intel-rapl:0/energy_uj is not readable")
