"""How many threads BLAS gets: products of small arrays are faster on one."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any

_ONE_THREAD_BELOW = 5e8
"""Multiplications of a product under which a second thread costs more than it brings."""


@functools.cache
def _pools() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def threads_for(multiplications: float) -> AbstractContextManager[Any]:
    """Limit BLAS to one thread inside, where products are small: threads that wait actively slow each other down."""
    context: AbstractContextManager[Any] = _pools().limit(
        limits=1 if multiplications < _ONE_THREAD_BELOW else None, user_api="blas"
    )
    return context
