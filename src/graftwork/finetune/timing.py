"""Which of several ways to compute the same is the fastest here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

GAIN = 0.85
"""Another way is taken where it needs at most this share of the usual one's seconds: noise alone changes nothing."""
ROUNDS = 2
HOPELESS = 2.0
THREAD_CLOCK = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-5 else time.perf_counter
"""Counts the seconds in which the processor worked for this thread, so that a busy machine gives the same figures;
where the system counts too coarsely, all seconds."""


def best_seconds(runs: Mapping[str, Callable[[], object]], clock: Callable[[], float]) -> dict[str, float]:
    """Return the seconds of each run, the best of several rounds taken in turn: what else runs here only ever slows.

    A round before these is not counted: it allocates memory and compiles kernels. What needs more than ``HOPELESS``
    times the least seconds is not run again.

    Parameters
    ----------
    clock
        ``THREAD_CLOCK`` for what one thread computes.
    """
    best = dict.fromkeys(runs, float("inf"))
    for run in runs.values():
        run()
    for _ in range(ROUNDS):
        least = min(best.values())
        for name in [name for name in runs if best[name] <= HOPELESS * least]:
            begin = clock()
            runs[name]()
            best[name] = min(best[name], clock() - begin)
    return best


def fastest(seconds: Mapping[str, float], usual: str) -> str:
    """Return the name with the least seconds; the usual one unless another gains (``GAIN``).

    >>> fastest({"plain": 1.0, "other": 0.95}, "plain"), fastest({"plain": 1.0, "other": 0.5}, "plain")
    ('plain', 'other')
    """
    best = min(seconds, key=lambda name: seconds[name])
    return best if seconds[best] <= GAIN * seconds[usual] else usual
