"""Work shared among threads: BLAS keeps to one each, and every thread takes its slice.

The threads of BLAS itself wait actively for each other at every step of a product: beside anything else that runs,
they are several times slower than this.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
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


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to the calling thread; ``share`` has the others."""
    threads()  # counted before the limit
    context: AbstractContextManager[Any] = _blas().limit(limits=1)
    return context


def share(work: Callable[[slice], Result], count: int, *, block: int) -> list[Result]:
    """Call ``work`` on slices of ``range(count)`` of a length, side by side; return the results in order."""
    slices = [slice(begin, min(begin + block, count)) for begin in range(0, count, block)]
    if threads() == 1 or len(slices) == 1:
        return [work(part) for part in slices]
    return list(_pool(os.getpid()).map(work, slices))
