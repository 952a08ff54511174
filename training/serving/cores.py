"""How many cores there are for this process: the one place that asks."""

import os


def cores() -> int:
    """Return how many cores this process may run on; macOS lends them all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
