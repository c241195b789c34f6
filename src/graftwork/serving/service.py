"""A running service: a socket, a model and a server, from start to shutdown."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import signal
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import uvicorn

from graftwork.core.options import ServeOptions
from graftwork.core.shown import Fact, Shown
from graftwork.errors import UsageError
from graftwork.listener import SILENT, Listener
from graftwork.serving.app import app
from graftwork.serving.protocol import PatientProtocol, PatientServer
from graftwork.serving.served import Served

MOST_CONNECTIONS = 500
"""More are told to come back later; a process may often open 1,024 files."""
KEEP_ALIVE_SECONDS = 30
"""For which a connection without a request stays open."""


class Service(Shown):
    """A model that answers over HTTP; made by :func:`graftwork.serve`.

    It answers in the background within a ``with`` block, or in the foreground, until Ctrl-C or a signal to terminate,
    by ``run``. Either way it answers what it has accepted before it stops.

    Parameters
    ----------
    folder
        A run's folder or a model folder.

    Raises
    ------
    UsageError
        When the address cannot be listened on.
    ModelError
        When the folder is no model.
    """

    def __init__(self, folder: Path, options: ServeOptions, listener: Listener = SILENT) -> None:
        self._socket, only_here = _listening(options.host, options.port)
        try:
            self._served = Served(folder, options)
        except BaseException:
            self._socket.close()
            raise
        if not only_here and options.token is None:
            listener.say(
                f"warning: whoever reaches {options.host} may use this service and see what it says; "
                "give a --token, or leave out --host"
            )
        for logger in ("uvicorn.error", "python_multipart"):  # a request that is no HTTP, or no form, is no news
            logging.getLogger(logger).setLevel(logging.ERROR)
        self._server = PatientServer(
            uvicorn.Config(
                app(self._served, options, only_here=only_here, is_stopping=lambda: self._server.is_stopping),
                http=PatientProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def _facts(self) -> tuple[Fact, ...]:
        return Fact("", self._served.about.name), Fact("address", self.url)

    def run(self) -> None:
        """Answer until Ctrl-C or SIGTERM; what was accepted by then is answered, unless a second Ctrl-C follows."""
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises it again at its end
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._server.run([self._socket])
        finally:
            signal.signal(signal.SIGTERM, before)

    def __enter__(self) -> Service:
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="serve")
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()


def _listening(host: str, port: int) -> tuple[socket.socket, bool]:
    """Return a socket that listens, and whether only this machine reaches it."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--host must be an address of this machine, but {host} is none: {why}; try 127.0.0.1"
        ) from error
    try:
        listening = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()  # Python adds the address to its own words
        raise UsageError(
            f"{host}:{port} must be free to listen on, but: {why}; give another --port, or 0 for any that is free"
        ) from error
    return listening, ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
