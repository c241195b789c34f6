"""A hub that takes what is uploaded: what a client says to create a repository, send files and commit them."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import loopback

COMMIT = "c" * 40


@dataclass
class WritableHub:
    """Repositories by ``owner/name``, each with its files."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """Large files by sha256, sent before the commit that names them."""
    refuses: int = 0
    """Status of every answer to a commit; 0: commits are taken."""


@contextlib.contextmanager
def writable_hub() -> Iterator[WritableHub]:
    """Serve on a free port of the loopback device."""
    hub = WritableHub()
    with loopback.serving(functools.partial(_Handler, hub)) as hub.url:
        yield hub


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: WritableHub, *given: Any) -> None:
        self.hub = hub
        super().__init__(*given)

    def do_HEAD(self) -> None:
        self._file(body=False)

    def do_GET(self) -> None:
        self._file(body=True)

    def do_PUT(self) -> None:
        data = self._sent()
        self.hub.objects[hashlib.sha256(data).hexdigest()] = data
        self._answer(200, b"")

    def do_POST(self) -> None:
        data, path = self._sent(), self.path.partition("?")[0]
        parts = path.split("/")
        if path == "/api/repos/create":
            facts = json.loads(data)
            name = f"{facts['organization']}/{facts['name']}"
            self.hub.repositories.setdefault(name, {})
            self._say({"url": f"{self.hub.url}/{name}", "id": name, "name": name})
        elif path == "/api/validate-yaml":
            self._say({"warnings": [], "errors": []})
        elif path.endswith("/preupload/main"):
            modes = [self._mode(file["path"]) for file in json.loads(data)["files"]]
            self._say({"files": modes, "commitOid": COMMIT})
        elif path.endswith("/info/lfs/objects/batch"):
            self._say({"transfer": "basic", "objects": [self._upload(each) for each in json.loads(data)["objects"]]})
        elif "/commit/" in path and self.hub.refuses:
            self._answer(self.hub.refuses, b'{"error": "no"}')
        elif "/commit/" in path:
            self._commit("/".join(parts[3:5]), data)
        else:
            self._say({})

    def _mode(self, path: str) -> dict[str, Any]:
        large = path.endswith(".safetensors")
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

    def _upload(self, each: dict[str, Any]) -> dict[str, Any]:
        return {**each, "actions": {"upload": {"href": f"{self.hub.url}/upload/{each['oid']}", "header": {}}}}

    def _commit(self, repository: str, data: bytes) -> None:
        files = self.hub.repositories[repository]
        for line in map(json.loads, data.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        self._say({"commitUrl": f"{self.hub.url}/{repository}/commit/{COMMIT}", "commitOid": COMMIT, "hookOutput": ""})

    def _file(self, *, body: bool) -> None:
        repository, resolved, rest = self.path[1:].partition("/resolve/")
        content = self.hub.repositories.get(repository, {}).get(rest.partition("/")[2]) if resolved else b"{}"
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        content = content or b""
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _sent(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = bytearray()
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return bytes(content)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _say(self, answer: dict[str, Any]) -> None:
        self._answer(200, json.dumps(answer).encode())

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""
