"""Decoding ahead in threads: the one prefetcher of everything that reads images faster than one core can.

Pillow and zlib release the interpreter's lock while they work, so threads decode on all cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from graftwork.machine import usable_cores

T = TypeVar("T")
R = TypeVar("R")


def prefetched(
    work: Callable[[T], R], items: Iterable[T], *, threads: int | None = None, ahead: int = 16
) -> Iterator[R]:
    """Yield the result of ``work`` for each item, in the order of the items, while threads compute the next ones.

    An exception of ``work`` is raised where its result would have been yielded. After that, or when the consumer
    stops, work that has not begun is cancelled, and work that has is waited for.

    Parameters
    ----------
    threads
        Number of threads; the number of usable cores unless given.
    ahead
        Maximum number of results per thread that are computed, or being computed, before they are consumed: what
        bounds the memory. Items are drawn no faster than that either.
    """
    threads = threads or usable_cores()
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= ahead * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
