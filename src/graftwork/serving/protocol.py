"""What uvicorn leaves to others: heads of requests that are late or endless, and connections that a shutdown meets
before their first request.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
"""In which the head of a request must have arrived, on a new connection or once its first byte is there."""
HEAD_BYTES = 65_536
"""Of a request's head, at most."""
LAST_SECONDS = 2.0
"""For which a shutdown leaves an idle connection open: its client may be sending already."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits for a request's head and a slower end of idle connections."""

    _late: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Wait on where these bytes begin a request, and no longer where they end its head."""
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._is_idle() else 0
        if self._head_bytes > HEAD_BYTES:
            self.transport.close()
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._wait_no_longer()

    def shutdown(self) -> None:
        """End the connection after the request that it carries, or after one that is on its way."""
        if self._is_idle():
            self.loop.call_later(LAST_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_head(self) -> None:
        if not self._is_idle():
            self._wait_no_longer()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _wait_no_longer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class PatientServer(uvicorn.Server):
    """uvicorn's server, which at its end takes the connections that the system has accepted for it, too."""

    is_stopping = False
    """Whether answers end their connections. Not before it has stopped to listen: who is told so connects anew."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and answer what is there."""
        accepted = [connection for one in sockets or [] for connection in _left_waiting(one)]
        for server in self.servers:
            server.close()
        self.is_stopping = True
        loop = asyncio.get_running_loop()
        for connection in accepted:
            with contextlib.suppress(OSError):  # its client has gone meanwhile
                await loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> PatientProtocol:
        return PatientProtocol(self.config, self.server_state, self.lifespan.state)


def _left_waiting(listening: socket.socket) -> list[socket.socket]:
    """Return the connections that nobody has taken from a socket yet."""
    connections = []
    with contextlib.suppress(OSError):  # there are no more
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            connections.append(connection)
    return connections
