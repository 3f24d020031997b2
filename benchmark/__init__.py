"""Accuracy, latency and their uncertainty for contract models and their ensembles, into tables and plots."""
