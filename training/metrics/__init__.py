"""How good a model is: accuracy with its interval, calibration."""
