"""Work shared among threads: BLAS keeps to one each, and every thread takes its slice.

The threads of BLAS itself wait actively for each other at every step of a product: beside anything else that runs,
they are several times slower than this.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@functools.cache
def threads() -> int:
    """As many as BLAS was allowed when first asked, the environment's wish included."""
    return max([pool["num_threads"] for pool in _blas().info()], default=1)


@functools.cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of a process: those of its parent are not there after a fork."""
    return ThreadPoolExecutor(threads(), thread_name_prefix=f"linear-{process}")


class _Limit:
    """BLAS keeps to one thread from the first of several entries, in any thread, to the exit of the last."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._limit: Any = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                threads()  # counted before the limit
                self._limit = _blas().limit(limits=1)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._limit.restore_original_limits()


one_blas_thread = _Limit()
"""Keeps BLAS to the calling thread; ``share`` has the others."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_blas_thread.__init__)  # type: ignore[misc]  # no other thread is inside there


def share(work: Callable[[slice], Result], count: int, *, block: int) -> list[Result]:
    """Call ``work`` on slices of ``range(count)`` of a length, side by side; return the results in order."""
    slices = [slice(begin, min(begin + block, count)) for begin in range(0, count, block)]
    if threads() == 1 or len(slices) == 1:
        return [work(part) for part in slices]
    return list(_pool(os.getpid()).map(work, slices))
