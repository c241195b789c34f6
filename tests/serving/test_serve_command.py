"""``graft serve`` as a process: what it has accepted is answered before it stops, and mistakes are one line."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_client import ask

import graftwork
from graftwork.errors import UsageError
from graftwork.listener import Listener

pytestmark = pytest.mark.xdist_group("serving")


@contextlib.contextmanager
def started(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service in a process of its own, and where it answers."""
    command = [sys.executable, "-m", "graftwork.cli", "serve", str(folder), "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        assert line.startswith(f"serving {folder} at http://")
        try:
            yield process, line.split(" at ")[1].split()[0]
        finally:
            process.terminate()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
def test_what_was_accepted_is_answered_before_it_stops(folder: Path, photos: Path) -> None:
    image = next(photos.rglob("*.png")).read_bytes()
    ends: Counter[str] = Counter()
    with started(folder) as (process, url), contextlib.closing(_idle(url)):
        clients = [threading.Thread(target=_sends_on, args=(url, image, ends)) for _ in range(16)]
        for one in clients:
            one.start()
        while ends["200"] < 50:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for one in clients:
            one.join(60)
        said, errors = process.communicate(timeout=60)
    assert set(ends) == {"200"}
    assert process.returncode == 0
    assert said == "stopped\n"
    assert errors == ""


def _idle(url: str) -> http.client.HTTPConnection:
    """A connection on which nothing is asked any more."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", "/health")
    connection.getresponse().read()
    return connection


def _sends_on(url: str, image: bytes, ends: Counter[str]) -> None:
    """Send an image again and again, and count what becomes of each request, until nobody listens."""
    with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)) as connection:
        while True:
            try:
                if connection.sock is None:
                    connection.connect()
            except ConnectionError:
                return
            try:
                connection.request("POST", "/predict", image)
                answer = connection.getresponse()
                answer.read()
                ends[str(answer.status)] += 1
            except (ConnectionError, http.client.HTTPException) as error:
                ends[f"lost: {error!r}"] += 1
                return


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
def test_an_upload_that_is_on_its_way_at_a_ctrl_c_is_still_answered(folder: Path, photos: Path) -> None:
    image = next(photos.rglob("*.png")).read_bytes()
    with started(folder) as (process, url):
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(image)}\r\n\r\n"
            connection.sendall(head.encode() + image[:1000])
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            connection.sendall(image[1000:])
            answer = b""
            while more := connection.recv(65536):
                answer += more
        assert process.wait(60) == 0
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()


def test_a_port_in_use_is_one_line(folder: Path, graft: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = graft("serve", folder, "--port", port)
    assert said.code == 2
    assert said.err == (
        f"graft: 127.0.0.1:{port} must be free to listen on, but: address already in use; give another --port, or 0 "
        "for any that is free\n"
    )


def test_a_folder_that_is_no_model_is_one_line(tmp_path: Path, graft: Callable[..., Any]) -> None:
    said = graft("serve", tmp_path / "nothing", "--port", "0")
    assert said.code == 1
    assert said.err.startswith(f"graft: {tmp_path / 'nothing'} must be a model folder or that of a finished run")
    assert said.err.count("\n") == 1


def test_without_the_packages_it_says_how_to_get_them(
    folder: Path, graft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("fastapi", "uvicorn")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("graftwork.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = graft("serve", folder, "--port", "0")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "is not installed: `pip install 'graftwork[serve]'`" in said.err


class Heard(Listener):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Remember a line."""
        self.lines.append(text)


@pytest.mark.parametrize("token", [None, "secret"])
def test_who_lets_others_in_without_a_token_is_warned(folder: Path, token: str | None) -> None:
    heard = Heard()
    with graftwork.serve(folder, port=0, host="0.0.0.0", token=token, listener=heard) as service:
        headers = {"Host": "elsewhere.example", **({"Authorization": f"Bearer {token}"} if token else {})}
        assert ask(service.url, "/model", headers=headers).status == 200
    warnings = ["warning: whoever reaches 0.0.0.0 may use this service"] if token is None else []
    assert [line.partition(" and see")[0] for line in heard.lines] == warnings


def test_the_token_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, graft: Callable[..., Any]) -> None:
    given: dict[str, Any] = {}

    def serve(run: Path, **arguments: Any) -> None:
        given.update(arguments)
        raise UsageError("enough")

    monkeypatch.setattr("graftwork.verbs.serve.serve", serve)
    monkeypatch.setenv("GRAFTWORK_TOKEN", "secret")
    assert graft("serve", "run").err == "graft: enough\n"
    assert given["token"] == "secret"
