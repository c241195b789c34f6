"""Web servers on a free port of the loopback device, for as long as a test needs them."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def serving(handler: Callable[..., Any]) -> Iterator[str]:
    """Serve with a handler of requests, and give the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Folder(http.server.SimpleHTTPRequestHandler):
    """A folder as ``python -m http.server`` has it, which knows no ranges; to be given its ``directory``."""

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def folder_server(folder: Path | str) -> Iterator[str]:
    """Serve a folder as ``python -m http.server`` does."""
    with serving(lambda *given: Folder(*given, directory=str(folder))) as url:
        yield url
