"""Corrupted and perturbed images: how much accuracy a model keeps, how often its answer flips, and which model is better at it."""
