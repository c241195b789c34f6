"""A web server of this machine's own that misbehaves on request, and remembers the requests and what it sent."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import loopback


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
    """The number of bytes of a body after which the connection is closed, for each coming answer."""
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


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self.site.requests.append((self.path, self.headers["Range"], self.headers["If-Range"]))
        status = self.site.statuses.pop(0) if self.site.statuses else 200
        content = self.site.files.get(self.path)
        if self.path in self.site.redirects:
            self._say(302, {"Location": self.site.redirects[self.path], "Content-Length": "0"})
        elif status != 200 or content is None:
            self._say(status if status != 200 else 404, {"Content-Length": "0"})
        else:
            self._send(content)

    def _send(self, content: bytes) -> None:
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        headers = {"ETag": etag} if self.site.etags else {}
        if self.site.dates:
            headers["Last-Modified"] = "Wed, 21 Oct 2015 07:28:00 GMT"
        begin, status = 0, 200
        wish = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        same = self.headers["If-Range"] in (None, *headers.values())
        if self.site.ranges and wish and same:
            begin, status = int(wish[1]), 206
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        if begin >= len(content) > 0:
            self._say(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
            return
        body = content[begin:]
        stop = self.site.stops.pop(0) if self.site.stops else len(body)
        sizes = {"Transfer-Encoding": "chunked"} if self.site.chunked else {"Content-Length": str(len(body))}
        self._say(status, {**headers, **sizes})
        self.site.sent_bytes += len(body[:stop])
        if self.site.chunked:
            for part in filter(None, (body[:stop], self.site.surplus)):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            if stop >= len(body):
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body[:stop])
        self.close_connection = True

    def _say(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, **self.site.headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def site(files: Mapping[str, bytes]) -> Iterator[Site]:
    """Serve files on a free port of the loopback device."""
    here = Site(files)
    with loopback.serving(type("Handler", (_Handler,), {"site": here})) as here.url:
        yield here


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
