"""A web server of this machine's own that misbehaves on request, and remembers what it was asked and what it sent."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass
class Site:
    """What a server has, by path, and how it answers."""

    files: Mapping[str, bytes]
    url: str = ""
    ranges: bool = True
    etags: bool = True
    dates: bool = False
    chunked: bool = False
    """Whether sizes are not announced."""
    stops: list[int] = field(default_factory=list)
    """After so many bytes of a body the connection is closed: one entry for each coming answer."""
    statuses: list[int] = field(default_factory=list)
    """Another status for each coming answer."""
    headers: dict[str, str] = field(default_factory=dict)
    """More of them, in every answer."""
    redirects: dict[str, str] = field(default_factory=dict)
    surplus: bytes = b""
    """What is sent after each body that is chunked."""
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Path, ``Range`` and ``If-Range`` of each."""
    sent_bytes: int = 0


@contextlib.contextmanager
def site(files: Mapping[str, bytes], **behaviour: object) -> Iterator[Site]:
    """Serve files on a free port of the loopback device."""
    here = Site(files, **behaviour)  # type: ignore[arg-type]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            here.requests.append((self.path, self.headers["Range"], self.headers["If-Range"]))
            status = here.statuses.pop(0) if here.statuses else 200
            content = here.files.get(self.path)
            if self.path in here.redirects:
                self._say(302, {"Location": here.redirects[self.path], "Content-Length": "0"})
            elif status != 200 or content is None:
                self._say(status if status != 200 else 404, {"Content-Length": "0"})
            else:
                self._send(content)

        def _send(self, content: bytes) -> None:
            etag = f'"{hashlib.md5(content).hexdigest()}"'
            headers = {"ETag": etag} if here.etags else {}
            if here.dates:
                headers["Last-Modified"] = "Wed, 21 Oct 2015 07:28:00 GMT"
            begin, status = 0, 200
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
            same = self.headers["If-Range"] in (None, *headers.values())
            if here.ranges and asked and same:
                begin, status = int(asked[1]), 206
                headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            if begin >= len(content) > 0:
                self._say(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
                return
            body = content[begin:]
            stop = here.stops.pop(0) if here.stops else len(body)
            sizes = {"Transfer-Encoding": "chunked"} if here.chunked else {"Content-Length": str(len(body))}
            self._say(status, {**headers, **sizes})
            here.sent_bytes += len(body[:stop])
            if here.chunked:
                for part in filter(None, (body[:stop], here.surplus)):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                if stop >= len(body):
                    self.wfile.write(b"0\r\n\r\n")
            else:
                self.wfile.write(body[:stop])
            self.close_connection = True

        def _say(self, status: int, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, **here.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with _running(server):
        here.url = f"http://127.0.0.1:{server.server_port}"
        yield here


@contextlib.contextmanager
def folder_server(folder: str) -> Iterator[str]:
    """Serve a folder as ``python -m http.server`` does, which knows no ranges."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, directory=folder, **options)  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    with _running(server):
        yield f"http://127.0.0.1:{server.server_port}"


@contextlib.contextmanager
def _running(server: http.server.ThreadingHTTPServer) -> Iterator[None]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def sockets(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Accept connections and hand each to ``talk``, which need not speak HTTP; the event is set at the end."""
    over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            talk(connection, over)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(2)
