"""A hub of this machine's own: it speaks what a download of one file needs, and remembers what it was requests."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import loopback

COMMIT = "c" * 40


@dataclass
class Hub:
    """What is on the hub, by path after the host's name."""

    files: Mapping[str, bytes]
    url: str = ""
    requests: list[str] = field(default_factory=list)
    status: int = 200
    refused: dict[str, int] = field(default_factory=dict)
    """Other status by path."""
    commit: str = COMMIT
    drops: bool = False
    """Whether the connection is lost as soon as a file's bytes would come."""


@contextlib.contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Hub]:
    """Serve files on a free port of the loopback device."""
    hub = Hub(files)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            content = hub.files.get(self.path)
            missing = content is None
            content = content if content is not None else b"{}"
            status = hub.status if hub.status != 200 else 404 if missing else 200
            self.send_response(hub.refused.get(self.path, status))
            if missing and self.path != "/":
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", hub.commit)
            self.end_headers()
            if body and hub.drops and not missing:
                self.close_connection = True
            elif body:
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    with loopback.serving(Handler) as hub.url:
        yield hub
