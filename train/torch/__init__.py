"""The PyTorch part of `train.loop`, in reading order: trainer, batches, augment, state, optimisation, range_test."""

from __future__ import annotations

import os

from core.environment import import_switches

os.environ.update(import_switches("torch"))  # before any module here imports torch
