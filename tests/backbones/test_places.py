"""Files of published networks from real servers on this machine, which stop, refuse, lie or say nothing."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import hashlib
import os
import random
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub import Hub, serving
from website import Site, site, sockets

from graftwork.backbones.fetch import Unavailable, Unreachable
from graftwork.backbones.patience import Patience
from graftwork.backbones.places import _counting, open_place, safe_path
from graftwork.errors import BackboneError, StorageError
from graftwork.listener import SILENT, Listener
from loopback import folder_server

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = random.Random(1).randbytes(300_000)
QUICK = Patience(
    connect_seconds=2.0, silence_seconds=0.5, attempts=3, first_wait_seconds=0.01, longest_wait_seconds=1.0
)
ONCE = Patience(connect_seconds=2.0, silence_seconds=0.5, attempts=1, first_wait_seconds=0.01)
REPOSITORY = "somebody/networks"


def fetch(
    address: str,
    folder: Path,
    *,
    patience: Patience = QUICK,
    path: str = "net/model.safetensors",
    sha256: str = SHA256,
    size_bytes: int = len(CONTENT),
    listener: Listener = SILENT,
) -> Path:
    """Fetch one file into a folder, unfinished downloads next to it."""
    to = folder / "to" / "model.safetensors"
    place = open_place(address, patience)
    place.fetch(path, to, sha256=sha256, size_bytes=size_bytes, partials=folder / "partials", listener=listener)
    return to


def partials(folder: Path) -> list[str]:
    """Return the names of what is unfinished, lock files aside."""
    return sorted(path.name for path in (folder / "partials").glob("*") if path.suffix != ".lock")


def one_line_of(raised: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.fixture
def web() -> Iterator[Site]:
    with site({"/zoo/net/model.safetensors": CONTENT, "/zoo/index.json": b'{"a": 1}'}) as here:
        yield here


# whole files


def test_a_static_server_without_ranges_is_a_place(tmp_path: Path) -> None:
    (tmp_path / "zoo" / "net").mkdir(parents=True)
    (tmp_path / "zoo" / "net" / "model.safetensors").write_bytes(CONTENT)
    (tmp_path / "zoo" / "a name%20.json").write_bytes(b"{}")
    with folder_server(tmp_path) as url:
        assert fetch(f"{url}/zoo/", tmp_path).read_bytes() == CONTENT
        assert open_place(f"{url}/zoo").read("a name%20.json", 2) == b"{}"
    assert partials(tmp_path) == []


def test_a_folder_is_a_place_and_what_comes_from_it_is_no_link(tmp_path: Path) -> None:
    zoo = tmp_path / "the zoo"
    (zoo / "net").mkdir(parents=True)
    (tmp_path / "weights").write_bytes(CONTENT)
    (zoo / "net" / "model.safetensors").symlink_to(tmp_path / "weights")
    (zoo / "index.json").write_bytes(b"{}")
    for number, address in enumerate([str(zoo), zoo.as_uri()]):
        to = fetch(address, tmp_path / str(number))
        assert to.read_bytes() == CONTENT
        assert not to.is_symlink()
        assert open_place(address).read("index.json", 2) == b"{}"
    os.mkfifo(zoo / "pipe")
    with pytest.raises(Unavailable, match="must be a file, but is something else"):
        open_place(str(zoo)).read("pipe", 10)
    with pytest.raises(Unavailable, match="must be there, but is not"):
        open_place(str(zoo)).read("index.json/x", 10)


def test_what_is_there_already_is_not_fetched_again(web: Site, tmp_path: Path) -> None:
    fetch(f"{web.url}/zoo", tmp_path)
    to = fetch(f"{web.url}/zoo", tmp_path, sha256=SHA256.upper())
    assert len(web.requests) == 1
    to.rename(tmp_path / "elsewhere")
    to.symlink_to(tmp_path / "elsewhere")  # a link is not the file itself: it may lead elsewhere tomorrow
    assert not fetch(f"{web.url}/zoo", tmp_path).is_symlink()


def test_another_file_in_the_place_is_replaced_only_at_the_end(web: Site, tmp_path: Path) -> None:
    to = tmp_path / "to" / "model.safetensors"
    to.parent.mkdir()
    to.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(b"old")
    web.stops = [1000]
    with pytest.raises(Unreachable):
        fetch(f"{web.url}/zoo", tmp_path, patience=ONCE)
    assert to.read_bytes() == b"old"
    fetch(f"{web.url}/zoo", tmp_path)
    assert to.read_bytes() == CONTENT
    assert not to.is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == b"old"


def test_progress_is_in_megabytes_and_ends_full(tmp_path: Path) -> None:
    class Heard(Listener):
        def __init__(self) -> None:
            self.counts: list[tuple[int, int]] = []

        def progress(self, done: int, total: int) -> None:
            self.counts.append((done, total))

    content = random.Random(2).randbytes(2_500_000)
    with site({"/net/model.safetensors": content}) as here:
        heard = Heard()
        fetch(here.url, tmp_path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content), listener=heard)
    assert heard.counts == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_an_empty_file_arrives(tmp_path: Path) -> None:
    with site({"/net/model.safetensors": b""}) as here:
        to = fetch(here.url, tmp_path, sha256=hashlib.sha256(b"").hexdigest(), size_bytes=0)
    assert to.read_bytes() == b""


# interruptions

BREAKS = sorted(random.Random(31).sample(range(1, len(CONTENT)), 20))


@pytest.mark.parametrize("at", BREAKS)
def test_a_download_that_stops_at_any_byte_goes_on_from_there_in_a_later_call(
    web: Site, tmp_path: Path, at: int
) -> None:
    web.stops = [at]
    with pytest.raises(Unreachable, match=r"must be fetched, but .*what has arrived is not sent twice") as raised:
        fetch(f"{web.url}/zoo", tmp_path, patience=ONCE)
    one_line_of(raised)
    assert not (tmp_path / "to").exists()
    assert partials(tmp_path) == [f"{SHA256}.json", f"{SHA256}.part"]
    assert fetch(f"{web.url}/zoo", tmp_path, patience=ONCE).read_bytes() == CONTENT
    assert web.requests[1][1] == f"bytes={at}-"
    assert web.sent_bytes == len(CONTENT)  # no byte was sent twice
    assert partials(tmp_path) == []


def test_a_download_that_stops_twenty_times_goes_on_in_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.backbones import patience

    monkeypatch.setattr(patience, "ADVANCE_BYTES", 100)
    content = CONTENT
    cuts = sorted(random.Random(4).sample(range(1, len(content)), 20))
    gaps = [b - a for a, b in zip([0, *cuts], cuts, strict=False)]
    with site({"/net/model.safetensors": content}) as here:
        here.stops = gaps
        sha256 = hashlib.sha256(content).hexdigest()
        patient = Patience(attempts=5, first_wait_seconds=0.0)
        to = fetch(here.url, tmp_path, patience=patient, sha256=sha256, size_bytes=len(content))
        assert to.read_bytes() == content
        assert here.sent_bytes == len(content)
        assert len(here.requests) == 21


def test_a_killed_process_leaves_what_arrived(tmp_path: Path) -> None:
    arrived = threading.Event()
    half = len(CONTENT) // 2

    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: %d\r\n\r\n' % len(CONTENT))
        connection.sendall(CONTENT[: half - 100])
        time.sleep(0.2)
        connection.sendall(CONTENT[half - 100 : half])  # few bytes, which a buffer would hold back
        arrived.set()
        over.wait(20)

    script = f"""
        from pathlib import Path
        from graftwork.backbones.places import open_place
        open_place(URL).fetch("net/model.safetensors", Path({str(tmp_path / "to" / "model.safetensors")!r}),
            sha256={SHA256!r}, size_bytes={len(CONTENT)}, partials=Path({str(tmp_path / "partials")!r}))
    """
    part = tmp_path / "partials" / f"{SHA256}.part"
    with sockets(talk) as url:
        code = textwrap.dedent(script).replace("URL", repr(url))
        process = subprocess.Popen([sys.executable, "-c", code])
        try:
            assert arrived.wait(20)
            until = time.monotonic() + 5
            while not (part.exists() and part.stat().st_size == half) and time.monotonic() < until:
                time.sleep(0.01)
        finally:
            process.kill()
            process.wait()
    assert part.stat().st_size == half
    with site({"/net/model.safetensors": CONTENT}) as here:  # another address: its ETag says nothing of the first one's
        assert fetch(here.url, tmp_path).read_bytes() == CONTENT
        assert here.requests == [("/net/model.safetensors", f"bytes={half}-", None)]
        assert here.sent_bytes == len(CONTENT) - half


def test_a_server_that_ignores_ranges_starts_again(web: Site, tmp_path: Path) -> None:
    web.ranges = False
    web.stops = [100_000, 50_000]
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert [request[1] for request in web.requests] == [None, "bytes=100000-", "bytes=50000-"]
    assert web.sent_bytes == 150_000 + len(CONTENT)


def test_a_file_that_changed_between_two_attempts_starts_again(web: Site, tmp_path: Path) -> None:
    web.files = {"/zoo/net/model.safetensors": OTHER}
    web.stops = [100_000]
    with pytest.raises(Unreachable):
        fetch(f"{web.url}/zoo", tmp_path, patience=ONCE)
    web.files = {"/zoo/net/model.safetensors": CONTENT}
    assert fetch(f"{web.url}/zoo", tmp_path, patience=ONCE).read_bytes() == CONTENT
    assert web.requests[1][2] == f'"{hashlib.md5(OTHER).hexdigest()}"'
    assert len(web.requests) == 2


def test_a_change_that_no_etag_shows_is_seen_by_its_sum_and_starts_again_once(web: Site, tmp_path: Path) -> None:
    web.etags = False
    web.files = {"/zoo/net/model.safetensors": OTHER}
    web.stops = [100_000]
    with pytest.raises(Unreachable):
        fetch(f"{web.url}/zoo", tmp_path, patience=ONCE)
    web.files = {"/zoo/net/model.safetensors": CONTENT}
    assert fetch(f"{web.url}/zoo", tmp_path, patience=ONCE).read_bytes() == CONTENT
    assert [request[1] for request in web.requests] == [None, "bytes=100000-", None]


def test_a_date_stands_in_for_an_etag(web: Site, tmp_path: Path) -> None:
    web.etags, web.dates, web.stops = False, True, [100_000]
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert web.requests[1] == ("/zoo/net/model.safetensors", "bytes=100000-", "Wed, 21 Oct 2015 07:28:00 GMT")
    assert web.sent_bytes == len(CONTENT)


def test_a_weak_etag_is_no_reason_to_go_on(web: Site, tmp_path: Path) -> None:
    web.etags, web.headers, web.stops = False, {"ETag": 'W/"1"'}, [100_000]
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert web.requests[1][2] is None


def test_a_range_that_cannot_be_satisfied_starts_again(web: Site, tmp_path: Path) -> None:
    web.stops, web.statuses = [100_000], [200, 416, 200]
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert [request[1] for request in web.requests] == [None, "bytes=100000-", None]


@pytest.mark.parametrize("said", ["bytes 0-299999/300000", "bytes 100001-299999/300000", "bytes x"])
def test_a_range_other_than_requested_starts_again(web: Site, tmp_path: Path, said: str) -> None:
    web.stops = [100_000]
    with pytest.raises(Unreachable):
        fetch(f"{web.url}/zoo", tmp_path, patience=ONCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "headers", {"Content-Range": said})
        assert fetch(f"{web.url}/zoo", tmp_path, patience=ONCE).read_bytes() == CONTENT
    assert [request[1] for request in web.requests][-1] is None


def test_a_partial_file_that_is_too_large_or_has_lost_its_origin_starts_again_or_goes_on(
    web: Site, tmp_path: Path
) -> None:
    part = tmp_path / "partials" / f"{SHA256}.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    (tmp_path / "to" / "model.safetensors").unlink()
    part.write_bytes(CONTENT[:-10])
    part.with_suffix(".json").write_text("{ no JSON")
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert web.requests[-1][1:] == (f"bytes={len(CONTENT) - 10}-", None)


def test_a_complete_but_damaged_partial_file_starts_again(web: Site, tmp_path: Path) -> None:
    part = tmp_path / "partials" / f"{SHA256}.part"
    part.parent.mkdir()
    part.write_bytes(OTHER)
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert web.requests == [("/zoo/net/model.safetensors", None, None)]


def test_two_downloads_of_one_content_send_it_once(web: Site, tmp_path: Path) -> None:
    said: list[str] = []

    class Heard(Listener):
        def progress(self, done: int, total: int) -> None:
            if not second.is_alive() and done == 0:
                second.start()
                time.sleep(0.2)

        def say(self, text: str) -> None:
            said.append(text)

    second = threading.Thread(target=lambda: fetch(f"{web.url}/zoo", tmp_path, listener=Heard()))
    fetch(f"{web.url}/zoo", tmp_path, listener=Heard())
    second.join(5)
    assert not second.is_alive()
    assert len(said) == 1
    assert "another download of" in said[0]
    assert web.sent_bytes == len(CONTENT)


def test_a_download_that_another_process_holds_and_does_not_go_on_with_is_one_line(web: Site, tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "partials").mkdir()
    stuck = Patience(connect_seconds=0.1, silence_seconds=0.1, longest_wait_seconds=0.1)
    with (
        FileLock(tmp_path / "partials" / f"{SHA256}.lock"),
        pytest.raises(Unavailable, match="by one process at a time"),
    ):
        fetch(f"{web.url}/zoo", tmp_path, patience=stuck)


# refusals


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (404, "no such file"),
        (410, "no such file"),
        (401, "refuses it"),
        (403, "refuses it"),
        (418, "answers 418 I'm a"),
    ],
)
def test_a_refusal_is_one_line_at_once(web: Site, tmp_path: Path, status: int, line: str) -> None:
    web.statuses = [status]
    with pytest.raises(Unavailable, match=line) as raised:
        fetch(f"{web.url}/zoo", tmp_path)
    assert not isinstance(raised.value, Unreachable)
    assert str(status) in one_line_of(raised)
    assert len(web.requests) == 1
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(web: Site, tmp_path: Path, status: int) -> None:
    web.statuses = [status, status]
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert len(web.requests) == 3
    web.statuses = [status]
    assert open_place(f"{web.url}/zoo", QUICK).read("index.json", 100) == b'{"a": 1}'


def test_what_does_not_pass_is_given_up_in_one_line(web: Site, tmp_path: Path) -> None:
    web.statuses = [500] * 9
    with pytest.raises(Unavailable, match="the server answers 500 Internal Server Error, 3 times in a row") as raised:
        fetch(f"{web.url}/zoo", tmp_path)
    assert not isinstance(raised.value, Unreachable)
    assert len(web.requests) == 3


def test_the_waits_double_up_to_a_bound_and_a_server_may_ask_for_its_own(
    web: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("graftwork.backbones.patience.time.sleep", waits.append)
    patience = Patience(attempts=6, first_wait_seconds=2.0, longest_wait_seconds=10.0)
    web.statuses = [503] * 5
    fetch(f"{web.url}/zoo", tmp_path, patience=patience)
    assert waits == [2.0, 4.0, 8.0, 10.0, 10.0]
    waits.clear()
    (tmp_path / "to" / "model.safetensors").unlink()
    web.statuses, web.headers = [429], {"Retry-After": "7"}
    fetch(f"{web.url}/zoo", tmp_path, patience=patience)
    assert waits == [7.0]
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=8)
    web.statuses, web.headers = [429], {"Retry-After": email.utils.format_datetime(soon, usegmt=True)}
    (tmp_path / "to" / "model.safetensors").unlink()
    fetch(f"{web.url}/zoo", tmp_path, patience=patience)
    assert 6.0 < waits[1] <= 8.0


def test_a_server_that_asks_for_an_hour_is_not_waited_for(web: Site, tmp_path: Path) -> None:
    web.statuses, web.headers = [429], {"Retry-After": "3600"}
    with pytest.raises(Unavailable, match="try again in 3,600 seconds, as it asks"):
        fetch(f"{web.url}/zoo", tmp_path)
    assert len(web.requests) == 1


def test_garbage_is_one_line(tmp_path: Path) -> None:
    with (
        sockets(lambda connection, _: connection.sendall(b"\x00\xff SSH-2.0\r\n" * 10)) as url,
        pytest.raises(
            Unavailable, match=r"must be served by a web server, but 127.0.0.1 answers something else"
        ) as raised,
    ):
        fetch(url, tmp_path)
    one_line_of(raised)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour"]
)
def test_a_connection_that_is_lost_early_is_one_line(tmp_path: Path, said: bytes) -> None:
    with sockets(lambda connection, _: connection.sendall(said)) as url:
        with pytest.raises(Unavailable, match=r"must (be fetched|have)") as raised:
            fetch(url, tmp_path)
        one_line_of(raised)


def test_a_small_file_that_is_cut_is_not_returned(web: Site) -> None:
    web.stops = [3, 3, 3]
    with pytest.raises(Unreachable, match="closed 5 bytes before the end, 3 times in a row"):
        open_place(f"{web.url}/zoo", QUICK).read("index.json", 100)
    web.stops = [3]
    assert open_place(f"{web.url}/zoo", QUICK).read("index.json", 100) == b'{"a": 1}'


def test_a_chain_of_redirects_is_followed_and_an_endless_one_is_not(web: Site, tmp_path: Path) -> None:
    web.redirects = {"/old/net/model.safetensors": "/older/1", "/older/1": f"{web.url}/zoo/net/model.safetensors"}
    web.stops = [1000]
    assert fetch(f"{web.url}/old", tmp_path).read_bytes() == CONTENT
    assert web.sent_bytes == len(CONTENT)
    web.redirects = {"/a/x": "/b/x", "/b/x": "/a/x"}
    web.requests.clear()
    with pytest.raises(BackboneError, match="must be at most 10 redirects away") as raised:
        open_place(f"{web.url}/a").read("x", 10)
    one_line_of(raised)
    assert len(web.requests) == 11


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://",
        "http://[",
        "javascript:x",
        "http://a b/",
        "",
        "http://u:p@h/",
    ],
)
def test_a_redirect_to_what_is_no_web_address_is_refused(web: Site, location: str) -> None:
    web.redirects = {"/zoo/x": location}
    with pytest.raises(BackboneError, match=r"must be (at an address|at most|served|fetched)") as raised:
        open_place(f"{web.url}/zoo", QUICK).read("x", 10)
    one_line_of(raised)


def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = [
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    try:
        subprocess.run(
            ["openssl", "req", "-x509", *options, "-keyout", key, "-out", certificate], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("needs the openssl command, which makes a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    listening = socket.create_server(("127.0.0.1", 0))
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n",
    ]

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(65536)
                    secure.sendall(answers.pop(0))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with pytest.raises(Unavailable, match="must show a certificate that this machine trusts"):
            open_place(url, QUICK).read("x", 10)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert open_place(url, QUICK).read("x", 10) == b"{}"
        with pytest.raises(Unavailable, match=r"stay with https, but the server sends to 'http://127.0.0.1/x'"):
            open_place(url, QUICK).read("x", 10)
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(2)


# lies


def test_a_wrong_sha256_is_one_line_and_leaves_nothing(web: Site, tmp_path: Path) -> None:
    web.files = {"/zoo/net/model.safetensors": OTHER}
    with pytest.raises(
        BackboneError, match=f"must have sha256 {SHA256}, but what was sent has .* was deleted"
    ) as raised:
        fetch(f"{web.url}/zoo", tmp_path)
    assert not isinstance(raised.value, Unavailable)
    assert hashlib.sha256(OTHER).hexdigest() in one_line_of(raised)
    assert partials(tmp_path) == []
    assert not (tmp_path / "to").exists()
    assert len(web.requests) == 1


@pytest.mark.parametrize("change", [-1, 1])
def test_a_size_other_than_announced_is_refused_before_anything_is_read(web: Site, tmp_path: Path, change: int) -> None:
    with pytest.raises(Unavailable, match=r"bytes, as announced, but has 300,000") as raised:
        fetch(f"{web.url}/zoo", tmp_path, size_bytes=len(CONTENT) + change)
    one_line_of(raised)
    assert not (tmp_path / "to").exists()


def test_a_server_that_sends_for_ever_is_cut_off(tmp_path: Path) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not over.is_set():
            connection.sendall(CONTENT)

    with sockets(talk) as url:
        with pytest.raises(BackboneError, match="must have 300,000 bytes, as announced, but more are sent"):
            fetch(url, tmp_path)
        assert partials(tmp_path) == []
        with pytest.raises(BackboneError, match="must have at most 1,000 bytes, but has more"):
            open_place(url, QUICK).read("index.json", 1000)


def test_chunks_without_a_size_arrive_and_a_surplus_does_not(web: Site, tmp_path: Path) -> None:
    web.chunked, web.stops = True, [100_000]
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert web.sent_bytes == len(CONTENT)
    web.surplus = b"!"
    (tmp_path / "to" / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match="but more are sent"):
        fetch(f"{web.url}/zoo", tmp_path)
    assert partials(tmp_path) == []


def test_an_encoded_answer_is_refused(web: Site) -> None:
    web.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(Unavailable, match=r"must be sent as it is, but the server encodes it \(gzip\)"):
        open_place(f"{web.url}/zoo", QUICK).read("index.json", 100)


def test_an_index_that_is_too_large_is_not_read(web: Site) -> None:
    place = open_place(f"{web.url}/zoo", QUICK)
    assert place.read("index.json", 8) == b'{"a": 1}'
    with pytest.raises(BackboneError, match="must have at most 7 bytes, but has more") as raised:
        place.read("index.json", 7)
    one_line_of(raised)


@pytest.mark.parametrize("sha256", ["", "0" * 63, "../" + "0" * 61, "0" * 64 + "\n", 7, None])
def test_a_sha256_that_is_none_never_names_a_file(web: Site, tmp_path: Path, sha256: object) -> None:
    with pytest.raises(BackboneError, match="must come with a sha256 of 64 hexadecimal digits") as raised:
        fetch(f"{web.url}/zoo", tmp_path, sha256=sha256)  # type: ignore[arg-type]
    one_line_of(raised)
    assert not web.requests


# silence


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    begin = time.perf_counter()
    quick = Patience(connect_seconds=0.2, silence_seconds=0.2, attempts=2, first_wait_seconds=0.01)
    with (
        sockets(lambda _, over: over.wait(10) and None) as url,
        pytest.raises(Unreachable, match=r"2 times in a row") as raised,
    ):
        fetch(url, tmp_path, patience=quick)
    one_line_of(raised)
    assert time.perf_counter() - begin < 3


@pytest.mark.parametrize(
    "beginning", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"]
)
def test_a_byte_now_and_then_does_not_go_on_for_ever(tmp_path: Path, beginning: bytes) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(beginning)
        while not over.wait(0.05):
            connection.sendall(b"X")

    begin = time.perf_counter()
    quick = Patience(connect_seconds=0.2, silence_seconds=0.3, attempts=2, first_wait_seconds=0.01)
    with sockets(talk) as url, pytest.raises(Unreachable, match="next to nothing, came for"):
        fetch(url, tmp_path, patience=quick)
    assert time.perf_counter() - begin < 4


def test_a_host_that_is_not_there_is_known_at_once(tmp_path: Path) -> None:
    begin = time.perf_counter()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 does not answer; check the address and the network"):
        fetch(f"http://127.0.0.1:{port}", tmp_path, patience=Patience())
    with pytest.raises(Unreachable, match=r"no host no-such-host\.invalid is known here"):
        fetch("http://no-such-host.invalid/zoo", tmp_path, patience=Patience())
    assert time.perf_counter() - begin < 7


# this machine


def test_offline_nothing_is_requested_but_what_is_here_is_here(
    web: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    fetch(f"{web.url}/zoo", tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fetch(f"{web.url}/zoo", tmp_path)
    for address in (f"{web.url}/zoo", "s3://bucket/zoo"):
        with pytest.raises(Unreachable, match="but HF_HUB_OFFLINE is set; unset it"):
            open_place(address).read("index.json", 10)
    assert len(web.requests) == 1


def test_a_full_disk_is_one_line_and_the_download_goes_on_later(web: Site, tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"\.part must be writable, but: File too large"):
            fetch(f"{web.url}/zoo", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert web.requests[-1][1] == "bytes=100000-"


def test_a_folder_that_cannot_be_written_is_one_line(web: Site, tmp_path: Path) -> None:
    (tmp_path / "partials").write_text("a file")
    with pytest.raises(StorageError, match="partials must be writable"):
        fetch(f"{web.url}/zoo", tmp_path)


def test_another_file_system_is_copied_to(web: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(source).suffix == ".part" and Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert fetch(f"{web.url}/zoo", tmp_path).read_bytes() == CONTENT
    assert partials(tmp_path) == []
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["model.safetensors"]


# addresses and paths


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("https://", "must be that of a folder on a web server"),
        ("https://user:secret@host/zoo", "must be that of a folder on a web server"),
        ("https://host/zoo?token=secret", "must be that of a folder on a web server"),
        ("https://host:port/zoo", "must be that of a folder on a web server"),
        ("https://[::1/zoo", "must be that of a folder on a web server"),
        ("https://ho st/zoo", "must be that of a folder on a web server"),
        ("no/such/folder", "must be a folder or an address"),
        ("file://elsewhere/zoo", "but names a host"),
        ("nosuch://bucket", "must begin with a scheme that fsspec knows.*, but nosuch is none"),
        ("gs://bucket/zoo", "`pip install gcsfs`"),
        ("hf-hub:", "must be hf-hub:OWNER/NAME"),
        ("hf-hub:a/b/c", "must be hf-hub:OWNER/NAME"),
        ("hf-hub:a/b@", "must be hf-hub:OWNER/NAME"),
        ("hf-hub:a/../b", "must be hf-hub:OWNER/NAME"),
        ("hf-hub:a/b@../../c", "must be hf-hub:OWNER/NAME"),
    ],
)
def test_an_address_that_is_none_is_one_line(address: str, line: str) -> None:
    with pytest.raises(BackboneError, match=line) as raised:
        open_place(address)
    assert "secret" not in one_line_of(raised)


@pytest.mark.parametrize("text", ["index.json", "a/b/c-1_2.safetensors", "ein Netz/ü.json", "a..b", "net+x@y/~z%20#?"])
def test_a_path_inside_is_safe(text: str) -> None:
    assert safe_path(text, "the index") == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "/etc/passwd", "//host/share", "..", "../x", "a/../../x", "a/..", ".", "./a", "a/./b", ".hidden", "a/.b"),
        *(
            "a\\b",
            "..\\x",
            "C:x",
            "C:/x",
            "a:b",
            "a//b",
            "a/",
            "a\nb",
            "a\0b",
            "a\x7fb",
            "a\u202eb",
            "\ud800",
            "a\u2028b",
        ),
        *("a/b.", "a ", "a /b", "x" * 256, "ü" * 128, "a/" * 501 + "a", 7, None, ["a"], b"a"),
    ],
)
def test_a_path_that_may_climb_out_is_refused(text: object, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="the index must name files by relative paths inside it, but") as raised:
        safe_path(text, "the index")
    one_line_of(raised).encode()
    (tmp_path / "zoo").mkdir()
    for address in (str(tmp_path / "zoo"), "http://127.0.0.1:9/zoo", "memory://zoo", f"hf-hub:{REPOSITORY}"):
        with pytest.raises(BackboneError, match="relative paths inside it"):
            open_place(address).read(text, 10)  # type: ignore[arg-type]
        with pytest.raises(BackboneError, match="relative paths inside it"):
            fetch(address, tmp_path, path=text)  # type: ignore[arg-type]


# buckets


def test_a_file_system_of_fsspecs_is_a_place(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/zoo-31/net/model.safetensors", CONTENT)
    memory.pipe("/zoo-31/index.json", b"{}")
    try:
        assert open_place("memory://zoo-31/").read("index.json", 2) == b"{}"
        part = tmp_path / "partials" / f"{SHA256}.part"
        part.parent.mkdir()
        part.write_bytes(CONTENT[:1000])
        assert fetch("memory://zoo-31", tmp_path).read_bytes() == CONTENT
        with pytest.raises(Unavailable, match="memory://zoo-31/none must be there, but there is no such file"):
            open_place("memory://zoo-31").read("none", 10)
        with pytest.raises(Unavailable, match="must be there, but there is no such file"):
            open_place("memory://zoo-31").read("net", 10)
    finally:
        memory.rm("/zoo-31", recursive=True)


def test_a_file_system_that_hangs_is_given_up(tmp_path: Path) -> None:
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    class Hanging(MemoryFileSystem):
        protocol = "hanging"

        def info(self, path: str, **options: object) -> dict[str, object]:
            time.sleep(5)
            return {}

    fsspec.register_implementation("hanging", Hanging, clobber=True)
    quick = Patience(connect_seconds=0.1, silence_seconds=0.1, attempts=2, first_wait_seconds=0.01)
    begin = time.perf_counter()
    with pytest.raises(Unreachable, match=r"next to nothing, came for 0.2 seconds, 2 times in a row"):
        open_place("hanging://zoo", quick).read("index.json", 10)
    assert time.perf_counter() - begin < 2


@pytest.fixture(scope="module")
def bucket(s3: Any) -> str:
    s3.mkdir("bucket")
    s3.pipe("bucket/zoo/net/model.safetensors", CONTENT)
    s3.pipe("bucket/zoo/index.json", b"{}")
    return "s3://bucket/zoo"


def test_a_bucket_is_a_place(bucket: str, tmp_path: Path) -> None:
    assert open_place(bucket).read("index.json", 2) == b"{}"
    assert fetch(bucket, tmp_path).read_bytes() == CONTENT
    with pytest.raises(BackboneError, match="must have at most 1 bytes"):
        open_place(bucket).read("index.json", 1)
    for address in (bucket, "s3://no-such-bucket"):
        with pytest.raises(Unavailable, match="must be there, but there is no such file") as raised:
            open_place(address).read("none.json", 10)
        one_line_of(raised)
    with pytest.raises(BackboneError, match="must have sha256"):
        fetch(bucket, tmp_path / "2", sha256="0" * 64)
    assert partials(tmp_path / "2") == []


def test_a_bucket_is_read_as_it_is_now(bucket: str) -> None:
    import s3fs

    system = s3fs.S3FileSystem()
    system.pipe("bucket/zoo/changing.json", b"[1]")
    system.ls("bucket/zoo")
    assert open_place(bucket).read("changing.json", 10) == b"[1]"
    s3fs.S3FileSystem(skip_instance_cache=True).pipe("bucket/zoo/changing.json", b"[1, 2]")
    assert open_place(bucket).read("changing.json", 10) == b"[1, 2]"


def test_a_download_from_a_bucket_goes_on_unless_the_file_has_changed(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    from graftwork.backbones import places

    monkeypatch.setattr(places, "_BLOCK_BYTES", 50_000)
    ranges: list[int] = []
    real = s3fs.S3File._fetch_range

    def fetch_range(file: s3fs.S3File, start: int, end: int) -> bytes:
        ranges.append(start)
        if len(ranges) == 3:
            raise ConnectionResetError("lost")
        data: bytes = real(file, start, end)
        return data

    monkeypatch.setattr(s3fs.S3File, "_fetch_range", fetch_range)
    with pytest.raises(Unreachable, match=r"the connection was lost \(lost\)"):
        fetch(bucket, tmp_path, patience=ONCE)
    assert fetch(bucket, tmp_path).read_bytes() == CONTENT
    assert ranges == [0, 50_000, 100_000, 100_000, 150_000, 200_000, 250_000]

    ranges.clear()
    s3fs.S3FileSystem().pipe("bucket/other/net/model.safetensors", OTHER)
    with pytest.raises(Unreachable):
        fetch("s3://bucket/other", tmp_path / "2", patience=ONCE)
    s3fs.S3FileSystem().pipe("bucket/other/net/model.safetensors", CONTENT)
    assert fetch("s3://bucket/other", tmp_path / "2").read_bytes() == CONTENT
    assert ranges[3] == 0


def test_a_bucket_without_credentials_says_how_to_give_them(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(Unavailable, match=r"must be open to you, but: .* or set FSSPEC_S3_ANON=true") as raised:
            open_place(bucket).read("index.json", 10)
        one_line_of(raised)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


def test_a_scheme_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(BackboneError, match=r"that is not installed; `pip install s3fs`"):
        open_place("s3://bucket/zoo")


# a hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client waits before it tries again
    base = f"/{REPOSITORY}/resolve"
    files = {
        f"{base}/main/net/model.safetensors": CONTENT,
        f"{base}/main/index.json": b"{}",
        f"{base}/v1/index.json": b"[]",
    }
    with serving(files) as standing:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", standing.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", standing.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield standing


def test_a_repository_of_a_hub_is_a_place(hub: Hub, tmp_path: Path) -> None:
    place = open_place(f"hf-hub:{REPOSITORY}")
    assert place.read("index.json", 2) == b"{}"
    hub.commit = "d" * 40
    assert open_place(f"hf-hub:{REPOSITORY}@v1").read("index.json", 2) == b"[]"
    hub.commit = "e" * 40
    to = fetch(f"hf-hub:{REPOSITORY}", tmp_path)
    assert to.read_bytes() == CONTENT
    assert not to.is_symlink()
    before = len(hub.requests)
    to.unlink()
    assert fetch(f"hf-hub:{REPOSITORY}", tmp_path).read_bytes() == CONTENT  # from the hub's cache
    assert len(hub.requests) == before


def test_an_index_of_a_hub_is_read_as_it_is_now_and_offline_as_it_was(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    place = open_place(f"hf-hub:{REPOSITORY}")
    path = f"/{REPOSITORY}/resolve/main/index.json"
    assert place.read("index.json", 10) == b"{}"
    hub.files = {path: b"[1]"}
    hub.commit = "d" * 40
    assert place.read("index.json", 10) == b"[1]"
    hub.files = {path: b"[1, 2]"}
    hub.commit = "e" * 40
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert place.read("index.json", 10) == b"[1]"
    with pytest.raises(Unreachable, match=f"other.json of {REPOSITORY} must be .* but HF_HUB_OFFLINE is set; check"):
        place.read("other.json", 10)


def test_what_is_wrong_in_a_hubs_cache_is_fetched_again_once(hub: Hub, tmp_path: Path) -> None:
    fetch(f"hf-hub:{REPOSITORY}", tmp_path).unlink()
    cached = next(path for path in (tmp_path / "cache").rglob("model.safetensors"))
    cached.resolve().write_bytes(OTHER)
    assert fetch(f"hf-hub:{REPOSITORY}", tmp_path).read_bytes() == CONTENT
    with pytest.raises(BackboneError, match=f"must have sha256 {'0' * 64}") as raised:
        fetch(f"hf-hub:{REPOSITORY}", tmp_path / "2", sha256="0" * 64)
    one_line_of(raised)
    assert not (tmp_path / "2" / "to").exists()


def test_a_hubs_file_that_is_larger_than_announced_is_not_read(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="must have at most 299,999 bytes, but has more") as raised:
        fetch(f"hf-hub:{REPOSITORY}", tmp_path, size_bytes=len(CONTENT) - 1)
    one_line_of(raised)
    with pytest.raises(BackboneError, match="must have at most 1 bytes"):
        open_place(f"hf-hub:{REPOSITORY}").read("index.json", 1)
    with pytest.raises(BackboneError, match="must have at most 10 bytes"):
        _counting(SILENT, 10, "a file")(total=11)  # known from its size, before the first byte


def test_a_hub_tells_progress_to_the_listener_alone(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[tuple[int, int]] = []

    class Heard(Listener):
        def progress(self, done: int, total: int) -> None:
            heard.append((done, total))

    fetch(f"hf-hub:{REPOSITORY}", tmp_path, listener=Heard())
    assert heard[-1] == (1, 1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_hubs_refusal_is_one_line(hub: Hub, tmp_path: Path, status: int) -> None:
    hub.refused[f"/{REPOSITORY}/resolve/main/net/model.safetensors"] = status
    with pytest.raises(Unavailable, match=REPOSITORY) as raised:
        fetch(f"hf-hub:{REPOSITORY}", tmp_path)
    one_line_of(raised)
    with pytest.raises(Unavailable, match=r"with none\.json, but the hub has none"):
        open_place(f"hf-hub:{REPOSITORY}").read("none.json", 10)


def test_a_hub_that_drops_the_connection_is_one_line(hub: Hub, tmp_path: Path) -> None:
    hub.drops = True
    with pytest.raises(
        Unreachable, match=r"but the download broke off .*; check the network and HF_ENDPOINT"
    ) as raised:
        fetch(f"hf-hub:{REPOSITORY}", tmp_path)
    one_line_of(raised)
    hub.drops = False
    assert fetch(f"hf-hub:{REPOSITORY}", tmp_path).read_bytes() == CONTENT
