"""How long a transfer waits for another machine: attempts are repeated, and nothing hangs for ever."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from graftwork.backbones.fetch import Unavailable, Unreachable

SLOWEST_BYTES = 1024
"""A connection that gives fewer bytes than these in the time of a silence counts as silent."""
ADVANCE_BYTES = 1 << 20
"""An attempt that gains this many bytes was worth it: failures are counted anew after it."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """How long a transfer waits for another machine; whatever that does, these bound the wait."""

    connect_seconds: float = 10.0
    """For the connection itself."""
    silence_seconds: float = 30.0
    """For the answer to begin, and for the next bytes of it."""
    attempts: int = 5
    """Failures in a row before it gives up."""
    first_wait_seconds: float = 1.0
    """After the first failure; twice as long after each further one."""
    longest_wait_seconds: float = 60.0
    """Between two attempts; a server that asks for more is not tried again."""


PATIENCE = Patience()


class MayPass(Exception):
    """An obstacle that may be gone at the next attempt; never leaves a transfer.

    Parameters
    ----------
    why
        What happened, as the middle of a sentence.
    answered
        Whether the other side answered at all.
    contact
        Whether there was a connection.
    after_seconds
        How long the server asks to wait; None where it does not say.
    """

    def __init__(
        self, why: str, *, answered: bool = False, contact: bool = True, after_seconds: float | None = None
    ) -> None:
        super().__init__(why)
        self.why, self.answered, self.contact, self.after_seconds = why, answered, contact, after_seconds


def patiently(attempt: Callable[[], Result], what: str, patience: Patience, gained_bytes: Callable[[], int]) -> Result:
    """Return what an attempt returns, made again after what may pass; each must gain something, or is counted.

    Raises
    ------
    Unavailable, Unreachable
        When too many fail in a row, or the other side asks to wait for too long.
    """
    failures, most, contact = 0, gained_bytes(), False
    while True:
        try:
            return attempt()
        except MayPass as error:
            contact = contact or error.contact
            if (now := gained_bytes()) >= most + ADVANCE_BYTES:
                failures, most = 0, now
            failures += 1
            wait = min(patience.first_wait_seconds * 2.0 ** (failures - 1), patience.longest_wait_seconds)
            if error.after_seconds is not None:
                wait = error.after_seconds
            # a host that nobody knows or that refuses at once will do so in some seconds, too
            if failures >= patience.attempts or not contact or wait > patience.longest_wait_seconds:
                raise _given_up(what, error, failures, wait > patience.longest_wait_seconds) from error
        time.sleep(wait)


def _given_up(what: str, error: MayPass, failures: int, told_to_wait: bool) -> Unavailable:
    tried = f", {failures} times in a row" if failures > 1 else ""
    then = "check the address and the network, and try again: what has arrived is not sent twice"
    if told_to_wait:
        then = f"try again in {error.after_seconds:,.0f} seconds, as it asks"
    kind = Unavailable if error.answered else Unreachable
    return kind(f"{what} must be fetched, but {error.why}{tried}; {then}")


def paced(items: Callable[[], Iterator[Item]], patience: Patience) -> Generator[Item, None, None]:
    """Give what an iterator gives, as long as its bytes come fast enough; whatever else it gives counts as none.

    Raises
    ------
    MayPass
        When they do not.
    """
    first = patience.connect_seconds + patience.silence_seconds
    parts = _ahead(items, first, patience.silence_seconds)
    with contextlib.closing(parts):
        yield next(parts)
        since, gained = time.monotonic(), 0
        for part in parts:
            gained += len(part) if isinstance(part, bytes) else 0
            yield part
            if gained >= SLOWEST_BYTES:
                since, gained = time.monotonic(), 0
            elif time.monotonic() - since > patience.silence_seconds:
                raise MayPass(_silent(patience.silence_seconds))


def _ahead(items: Callable[[], Iterator[Item]], first_seconds: float, seconds: float) -> Generator[Item, None, None]:
    """Give what an iterator gives, run in a thread of its own: no library's hang is one here.

    A thread that hangs is left behind; it ends with the process.
    """
    arrived: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(maxsize=8)
    over = threading.Event()
    work = threading.Thread(target=_fill_queue, args=(items, arrived, over), name="download", daemon=True)
    work.start()
    wait = first_seconds
    try:
        while True:
            try:
                thing = arrived.get(timeout=wait)
            except queue.Empty:
                raise MayPass(_silent(wait)) from None
            if thing is None:
                return
            if isinstance(thing, BaseException):
                raise thing
            yield thing[0]
            wait = seconds
    finally:
        over.set()


def _fill_queue(
    items: Callable[[], Iterator[Item]],
    arrived: queue.Queue[tuple[Item] | BaseException | None],
    over: threading.Event,
) -> None:
    """Put each item in a tuple, then what ended them: None, or an error."""

    def put(thing: tuple[Item] | BaseException | None) -> bool:
        while not over.is_set():
            with contextlib.suppress(queue.Full):
                arrived.put(thing, timeout=0.1)
                return True
        return False

    try:
        for item in items():
            if not put((item,)):
                return
        put(None)
    except BaseException as error:
        put(error)


def _silent(seconds: float) -> str:
    return f"nothing, or next to nothing, came for {seconds:g} seconds"
