"""The body of a request as it arrives: bounded in bytes and in time, and read to its end whatever the answer is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from graftwork.core.options import ServeOptions
from graftwork.serving.refusal import Refusal

HELD_UPLOADS = 8
"""Requests of the largest size that are held in memory at the same time; small ones are as many as fit."""
DISCARDED_MB = 256
"""What is read and thrown away of a request that was refused, so that its sender gets to read why."""


class Room:
    """How much is being read, waits or is computed: what bounds the memory of the service.

    It is used by the event loop alone, so nothing changes between a question and what follows from it.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._most_images = options.max_waiting
        self._most_bytes = int(HELD_UPLOADS * options.max_upload_mb * 1e6)
        self.images = 0
        self.bytes = 0

    def check(self) -> None:
        """Raise Refusal when the service has as many images as it takes."""
        if self.images >= self._most_images:
            raise Refusal(503, f"{self.images} images wait already, as many as this service takes; try again soon")

    def take(self, length: int) -> None:
        """Make room for bytes that have arrived; raises Refusal where there is none."""
        if self.bytes + length > self._most_bytes:
            raise Refusal(
                503, f"{self.bytes / 1e6:.0f} MB are being sent already, as many as this service takes; try again soon"
            )
        self.bytes += length


class Upload:
    """Receives a request's body in place of the server's own function.

    Parameters
    ----------
    headers
        Of the request, in lower case.
    """

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], options: ServeOptions, room: Room) -> None:
        self._receive, self._options, self._room = receive, options, room
        self._deadline = time.monotonic() + options.upload_seconds
        self._declared = int(headers.get(b"content-length", b"0"))
        self._asks_first = headers.get(b"expect", b"").lower() == b"100-continue"
        self._arrived = 0
        self._held = 0
        self.complete = False

    async def __call__(self) -> Message:
        """Return the next part of the body.

        Raises
        ------
        Refusal
            413 as soon as the body is known to be too large, 408 when it does not arrive in time, 503 when too much is
            being sent by others.
        """
        self._check_size(self._declared)
        message = await self._next()
        self._check_size(self._arrived)
        length = len(message.get("body", b""))
        self._room.take(length)
        self._held += length
        return message

    async def discard(self) -> bool:
        """Read what is left, and return whether that was all: the connection is of no more use where it was not."""
        try:
            while not self.complete:
                if self._asks_first and not self._arrived:  # it waits for our answer before it sends anything
                    return False
                if self._arrived > DISCARDED_MB * 1e6 or self._declared > DISCARDED_MB * 1e6:
                    return False
                await self._next()
        except (Refusal, ClientDisconnect):
            return False
        return True

    def release(self) -> None:
        """Give back the room that the body took."""
        self._room.bytes -= self._held
        self._held = 0

    def _check_size(self, length: int) -> None:
        most = self._options.max_upload_mb
        if length > most * 1e6:
            raise Refusal(413, f"a request must have at most {most:g} MB; send smaller images, or fewer at a time")

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(
                408, f"a request must arrive within {self._options.upload_seconds:g} seconds; send it again"
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._arrived += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        return message
