"""What the machine offers: how many cores this process may use."""

import os


def available_cores() -> int:
    """Return how many cores this process may use: the default of every ``--threads``."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
