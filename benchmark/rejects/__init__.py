"""Knowing when not to answer: the threshold for a stated share of wrong answers."""
