"""Ratios against baselines, each in one run: ``python -m bench.NAME``."""
