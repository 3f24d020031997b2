"""One training from start to end: what a framework owes it (`framework`), its epochs, and the whole (`running`)."""

from train.loop.epochs import Heard
from train.loop.framework import ALONE, Batches, Framework, Precision, Ranks, Setting, State
from train.loop.running import run_training

__all__ = ["ALONE", "Batches", "Framework", "Heard", "Precision", "Ranks", "Setting", "State", "run_training"]
