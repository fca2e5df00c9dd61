"""Runs that take turns, so that what else the machine does meets all alike."""

import itertools
import math
import statistics
import time


def medians(turns, seconds, least=3, before=2, enough=math.inf):
    """Medians by key of `turns`, a dictionary of functions that return their own seconds.

    Each runs `before` times before anything counts, then in turns for `seconds` and `least` times;
    a round of over `enough` seconds is enough by itself.
    """
    for _ in range(before):
        for turn in turns.values():
            turn()
    times = {key: [] for key in turns}
    now = time.perf_counter()
    end = now + seconds
    for rounds in itertools.count(1):
        started = now
        for key, turn in turns.items():
            times[key].append(turn())
        now = time.perf_counter()
        if now - started > enough or (rounds >= least and now >= end):
            return {key: statistics.median(values) for key, values in times.items()}


def seconds_of(run):
    """How long a function takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
