"""BLAS keeps to one thread while anybody computes, and has all of them again afterwards."""

from __future__ import annotations

import threading

from graftwork.linear import threads
from graftwork.linear.threads import one_blas_thread


def allowed() -> list[int]:
    return [pool["num_threads"] for pool in threads._blas().info()]


def test_the_last_to_leave_gives_the_threads_back() -> None:
    before, entered, left = allowed(), threading.Event(), threading.Event()

    def second() -> None:
        with one_blas_thread():
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=second)
    with one_blas_thread():
        thread.start()
        assert entered.wait(10)
        assert set(allowed()) == {1}
    assert set(allowed()) == {1}  # the second still computes
    left.set()
    thread.join(10)
    assert allowed() == before
