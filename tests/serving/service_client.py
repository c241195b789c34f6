"""A client of the service that says what it is told."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

BOUNDARY = "a-boundary"


class Said(NamedTuple):
    """An answer of the service."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """What the body holds."""
        return json.loads(self.body)


def ask(url: str, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None) -> Said:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Said(answer.status, dict(answer.headers), answer.read())
    finally:
        connection.close()


def send(url: str, *files: bytes | Path, query: str = "", headers: Mapping[str, str] | None = None) -> Said:
    """Send files as a form."""
    parts = []
    for number, file in enumerate(files):
        name, data = (file.name, file.read_bytes()) if isinstance(file, Path) else (f"{number}.jpg", file)
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        parts.append(head.encode() + data + b"\r\n")
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return ask(url, f"/predict{query}", "POST", body, {**kind, **(headers or {})})
