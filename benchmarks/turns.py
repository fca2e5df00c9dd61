"""Runs that take turns, so that what else the machine does meets all alike."""

import statistics
import time


def medians(turns, seconds, least=3, before=2):
    """Medians by key of `turns`, a dictionary of functions that return their own seconds.

    Each runs `before` times before anything counts, then in turns for `seconds` and `least` times.
    """
    for _ in range(before):
        for turn in turns.values():
            turn()
    times = {key: [] for key in turns}
    end = time.perf_counter() + seconds
    while min(map(len, times.values())) < least or time.perf_counter() < end:
        for key, turn in turns.items():
            times[key].append(turn())
    return {key: statistics.median(values) for key, values in times.items()}


def seconds_of(run):
    """How long a function takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
