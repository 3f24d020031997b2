"""Predictions, accuracy metrics, paired tests and calibration."""
