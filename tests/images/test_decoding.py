from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from graftwork.images.decoding import prefetched


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_where_even(i: int) -> int:
        time.sleep(0.002 * (i % 2 == 0))
        return i * i

    assert list(prefetched(slow_where_even, range(50), threads=4)) == [i * i for i in range(50)]
    assert list(prefetched(slow_where_even, [], threads=4)) == []


def test_the_number_of_cores_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graftwork.images.decoding.usable_cores", lambda: 3)
    together = threading.Barrier(3, timeout=10)  # three items at the same time, or none of them ends
    assert len(list(prefetched(lambda _: together.wait(), range(3)))) == 3


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, 3), (3, 16)])
def test_a_bounded_number_waits_to_be_consumed(threads: int, ahead: int) -> None:
    drawn = 0

    def items() -> Iterator[int]:
        nonlocal drawn
        for i in range(200):
            drawn += 1
            yield i

    for consumed, _ in enumerate(prefetched(lambda i: i, items(), threads=threads, ahead=ahead)):
        assert drawn - consumed <= threads * ahead
    assert drawn == 200


def test_what_has_not_begun_is_cancelled_when_the_consumer_stops() -> None:
    begun: list[int] = []
    release = threading.Event()

    def work(i: int) -> int:
        begun.append(i)
        assert i == 0 or release.wait(timeout=10)
        return i

    results = prefetched(work, range(100), threads=1, ahead=10)
    assert next(results) == 0
    threading.Timer(0.05, release.set).start()
    results.close()  # waits for the item that has begun
    assert begun in ([0], [0, 1])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_an_exception_is_raised_at_the_place_of_its_item() -> None:
    begun: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        if i == 3:
            raise ValueError("item 3")
        return i

    results = prefetched(work, range(1000), threads=2, ahead=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(results)
    assert len(begun) <= 3 + 2 * 4
    with pytest.raises(StopIteration):
        next(results)


def test_an_exception_of_the_items_ends_the_threads() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more items")

    with pytest.raises(OSError, match="no more items"):
        list(prefetched(lambda i: i, items(), threads=2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
