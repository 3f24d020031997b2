"""Accuracy on corrupted versions of the images: how much of it a model keeps, and whether one keeps more than another."""
