"""Ratios against baselines, each measured in one run: ``python -m bench.NAME``; ``make bench`` runs all.

A module with a ``main`` is a bench; the others are what benches share.
"""

import training  # noqa: F401 it sets how OpenMP's threads wait, which PyTorch reads only when it is imported
