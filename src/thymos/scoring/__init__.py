"""Predictions -> numbers: metrics, calibration, prediction sets, comparison, results.json."""
