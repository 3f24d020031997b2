"""Meters of the machine: memory of this process, energy of the processor packages; from files of Linux, nan elsewhere."""

from __future__ import annotations

import math
from pathlib import Path

STATUS = Path("/proc/self/status")
POWERCAP = Path("/sys/class/powercap")


def resident_mb(status: Path = STATUS) -> float:
    """Memory that this process holds now, in MB (10^6 bytes)."""
    return _kilobytes("VmRSS", status) * 1024 / 1e6


def peak_mb(status: Path = STATUS) -> float:
    """The most memory that this process has held since it began, in MB (10^6 bytes).

    Not getrusage's figure, which a child inherits from the process that started it.
    """
    return _kilobytes("VmHWM", status) * 1024 / 1e6


def package_energy_j(powercap: Path = POWERCAP) -> float:
    """Joules that the processor packages have used, by RAPL's counters, whose start is arbitrary; nan where they cannot be read."""
    try:
        counters = [float((domain / "energy_uj").read_text()) for domain in sorted(powercap.glob("intel-rapl:?"))]
    except (OSError, ValueError):  # since 2020 only root may read them
        return math.nan
    return sum(counters) / 1e6 if counters else math.nan


def why_no_energy(powercap: Path = POWERCAP) -> str:
    """Why `package_energy_j` is nan; empty where it is not."""
    if not math.isnan(package_energy_j(powercap)):
        return ""
    domains = sorted(powercap.glob("intel-rapl:?"))
    return f"energy: {domains[0]}/energy_uj is not readable" if domains else f"energy: no RAPL counters in {powercap}"


def _kilobytes(name: str, status: Path) -> float:
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return math.nan
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name}:")), math.nan)
