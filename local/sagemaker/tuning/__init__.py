"""Tuning jobs: training jobs whose hyperparameters a search chooses."""
