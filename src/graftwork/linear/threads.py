"""Work shared among threads: BLAS keeps to one each, and every thread takes a slice of the rows.

The threads of BLAS itself wait actively for each other at every step of a product: beside anything else that runs,
they are several times slower than this.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Result = TypeVar("Result")

_WORTH_SHARING = 1e7
"""Multiplications below which handing work to a thread costs more than it brings."""


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@functools.cache
def _workers() -> tuple[ThreadPoolExecutor, int]:
    """Return a pool with as many threads as BLAS was allowed when it was first asked, and their number."""
    count = max([pool["num_threads"] for pool in _blas().info()], default=1)
    return ThreadPoolExecutor(count, thread_name_prefix="linear"), count


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to the calling thread; ``share`` has the others."""
    _workers()  # counted before the limit
    context: AbstractContextManager[Any] = _blas().limit(limits=1)
    return context


def share(work: Callable[[slice], Result], count: int, multiplications: float, *, block: int = 0) -> list[Result]:
    """Call ``work`` on slices of ``range(count)``, side by side where it pays; return the results in order.

    Parameters
    ----------
    block
        Length of a slice; without it one slice for each thread.
    """
    pool, threads = _workers()
    if multiplications < _WORTH_SHARING:
        threads = 1
    block = block or -(-count // threads)
    slices = [slice(begin, min(begin + block, count)) for begin in range(0, count, block)]
    if threads == 1 or len(slices) == 1:
        return [work(part) for part in slices]
    return list(pool.map(work, slices))
