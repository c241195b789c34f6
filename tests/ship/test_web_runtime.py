"""The page's runtime comes by npm from where the user's npm fetches, is what it must be, and is fetched once."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from graftwork.errors import ModelError, UsageError
from graftwork.ship import web_runtime as module
from graftwork.ship.web_node import NodeSession, node
from graftwork.ship.web_runtime import BINARY, PACKAGE, SCRIPT, VERSION, find_program, integrity, web_runtime

onnx = pytest.importorskip("onnx", reason="needs what `pip install 'graftwork[export]'` installs")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.xdist_group("export")

needs_npm = pytest.mark.skipif(find_program("npm") is None, reason="needs npm")


def packed(**files: bytes) -> bytes:
    """A package as npm packs it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as package:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            package.addfile(entry, io.BytesIO(data))
    return out.getvalue()


TARBALL = packed(
    **{
        "package.json": json.dumps({"name": PACKAGE, "version": VERSION}).encode(),
        "dist/ort.wasm.bundle.min.mjs": b"a script",
        f"dist/{BINARY}": b"\0asm",
        "dist/other.wasm": b"not needed",
    }
)


class Registry:
    """A registry of one package on loopback."""

    def __init__(self, tarball: bytes) -> None:
        self.tarball, self.requests = tarball, []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.requests.append(self.path)
                body = registry.tarball if self.path.endswith(".tgz") else json.dumps(registry.document).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *said: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def document(self) -> dict[str, object]:
        dist = {
            "tarball": f"{self.url}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz",
            "integrity": integrity(self.tarball),
            "shasum": hashlib.sha1(self.tarball).hexdigest(),
        }
        version = {"name": PACKAGE, "version": VERSION, "dist": dist}
        return {"name": PACKAGE, "dist-tags": {"latest": VERSION}, "versions": {VERSION: version}}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    made = Registry(TARBALL)
    monkeypatch.setattr(module, "INTEGRITY", integrity(TARBALL))
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", made.url)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    yield made
    made.server.shutdown()
    made.server.server_close()


@needs_npm
def test_npm_fetches_it_once_from_the_registry_that_it_is_set_to(registry: Registry) -> None:
    files = web_runtime().files
    assert files[SCRIPT] == b"a script"
    assert files[BINARY] == b"\0asm"
    assert "other.wasm" not in files
    assert b"MIT License" in files["onnxruntime-LICENSE.txt"]
    assert sum(path.endswith(".tgz") for path in registry.requests) == 1
    registry.requests.clear()
    assert web_runtime().files == files
    assert registry.requests == []


@needs_npm
def test_another_file_than_the_pinned_one_is_refused_and_not_cached(registry: Registry, tmp_path: Path) -> None:
    registry.tarball = packed(**{"dist/ort.wasm.bundle.min.mjs": b"another script"})
    with pytest.raises(UsageError, match="what came is another file") as raised:
        web_runtime()
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "cache").rglob("*.tgz"))


@needs_npm
def test_a_registry_that_does_not_answer_is_one_line_that_says_what_else_helps(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="ECONNREFUSED") as raised:
        web_runtime()
    assert "--runtime-from" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_damaged_file_in_the_cache_is_fetched_again(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "cache" / "downloads" / f"{PACKAGE}-{VERSION}.tgz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(TARBALL[:-9])
    monkeypatch.setattr(module, "_fetched", lambda: TARBALL)
    assert web_runtime().files[SCRIPT] == b"a script"
    assert cached.read_bytes() == TARBALL


def test_without_npm_one_line_says_how_to_get_it(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_program", lambda name: None)
    with pytest.raises(UsageError, match=r"graftwork\[web\].*--runtime-from") as raised:
        web_runtime()
    assert f"npm pack {PACKAGE}@{VERSION}" in str(raised.value)
    assert registry.requests == []


def test_the_package_may_be_given_as_a_file(registry: Registry, tmp_path: Path) -> None:
    given = tmp_path / "given.tgz"
    with pytest.raises(UsageError, match="cannot be read"):
        web_runtime(given)
    given.write_bytes(b"something else")
    with pytest.raises(UsageError, match="must be onnxruntime-web"):
        web_runtime(given)
    given.write_bytes(TARBALL)
    assert web_runtime(given).files[BINARY] == b"\0asm"
    assert registry.requests == []


def where_of_bytes(path: Path) -> Path:
    """A model with an operation on a type for which Python's onnxruntime has code, and the page's runtime none."""
    model = onnx.parser.parse_model("""
<ir_version: 10, opset_import: ["" : 18]>
lacking (uint8[height, width, 3] image) => (int8[height, width, 3] probabilities) {
  mask = Cast <to = 9> (image)
  small = Cast <to = 3> (image)
  probabilities = Where (mask, small, small)
}""")
    path.write_bytes(model.SerializeToString())
    return path


def test_an_operation_that_the_runtime_lacks_is_named(web_archive: Path, tmp_path: Path) -> None:
    if node() is None:
        pytest.skip("needs node")
    import onnxruntime

    for name, data in web_runtime(web_archive).files.items():
        (tmp_path / name).write_bytes(data)
    model = where_of_bytes(tmp_path / "model.onnx")
    image = np.zeros((2, 2, 3), np.uint8)
    assert onnxruntime.InferenceSession(model).run(None, {"image": image})[0].shape == (2, 2, 3)
    with pytest.raises(ModelError, match=r"an implementation for Where\(16\)") as raised:
        NodeSession(model)
    assert "\n" not in str(raised.value)
    assert "--to onnx" in str(raised.value)
