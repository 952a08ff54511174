"""Which cores there are for this process: the one place that asks."""

import os


def core_numbers() -> list[int]:
    """Return the cores that this process may run on; macOS lends them all."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores() -> int:
    """Return how many cores this process may run on."""
    return len(core_numbers())
