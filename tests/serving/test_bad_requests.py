"""What a service is sent by mistake or on purpose: a status and a line that says why, and it goes on."""

from __future__ import annotations

import asyncio
import io
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from service_client import BOUNDARY, Said, ask, send

import graftwork
from graftwork.core.options import ServeOptions
from graftwork.errors import UsageError
from graftwork.serving import protocol
from graftwork.serving.refusal import Refusal
from graftwork.serving.upload import HELD_UPLOADS, Room, Upload
from graftwork.testing import tiny_image

pytestmark = pytest.mark.xdist_group("serving")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def encoded(kind: str, size_px: int = 48) -> bytes:
    out = io.BytesIO()
    Image.fromarray(tiny_image(0, 0, size_px)).save(out, kind)
    return out.getvalue()


def raw(data: bytes, kind: str) -> Callable[[str], Said]:
    return lambda url: ask(url, "/predict", "POST", data, {"Content-Type": kind})


@pytest.mark.parametrize(
    ("sends", "status", "reason"),
    [
        (lambda url: send(url, b"no image"), 415, "0.jpg must be an image, but its 8 bytes are none that can be read"),
        (lambda url: send(url, b""), 415, "0.jpg must be an image, but its 0 bytes"),
        (lambda url: send(url, encoded("JPEG")[:-300]), 422, "0.jpg must be a whole image, but is broken or cut off"),
        (lambda url: send(url, encoded("PNG")[:400]), 422, "0.jpg must be a whole image, but is broken or cut off"),
        (lambda url: send(url, encoded("PNG")[:30]), 415, "0.jpg must be an image"),
        (lambda url: send(url, bomb(8_000, 8_000)), 413, "0.jpg must have at most 50 megapixels, but its header says"),
        (lambda url: send(url, bomb(60_000, 60_000)), 413, "0.jpg must not unpack to more pixels than is safe"),
        (lambda url: send(url, encoded("EPS")), 415, "send JPEG, PNG, WebP"),  # Ghostscript would have to be started
        (lambda url: send(url, encoded("ICO")), 415, "send JPEG, PNG, WebP"),  # its header does not bound what it holds
        (raw(b"%PDF-1.7", "application/pdf"), 415, "but its Content-Type is application/pdf"),
        (raw(b"{}", "application/json"), 415, "the body must be an image or multipart/form-data"),
        (raw(b"%PDF-1.7", "image/jpeg"), 415, "image must be an image"),
        (raw(b"", "image/jpeg"), 400, "the body must be an image, but is empty"),
        (lambda url: send(url), 400, "the form must hold at least one file, but holds none"),
        (raw(b"no form", f"multipart/form-data; boundary={BOUNDARY}"), 400, "the form must be whole"),
        (raw(b"no form", "multipart/form-data"), 400, "the form must be whole multipart/form-data"),
        (
            lambda url: send(url, *[b"x"] * 101),
            400,
            "the form must be whole multipart/form-data of at most 100 files, but: Too many",
        ),
        (lambda url: send(url, encoded("PNG"), query="?top=0"), 422, "top: Input should be greater than or equal to 1"),
        (lambda url: send(url, encoded("PNG"), query="?top=many"), 422, "top: Input should be a valid integer"),
        (lambda url: send(url, encoded("PNG"), query="?nearest=21"), 422, "nearest: Input should be less than"),
        (lambda url: ask(url, "/predict"), 405, "Method Not Allowed"),
        (lambda url: ask(url, "/predictions"), 404, "Not Found"),
        (lambda url: ask(url, "/model", headers={"Host": "elsewhere.example"}), 421, "was asked as elsewhere.example"),
        (lambda url: ask(url, "/model", headers={"Host": ""}), 421, "the service listens to this machine alone"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(
    url: str, sends: Callable[[str], Said], status: int, reason: str
) -> None:
    said = sends(url)
    assert said.status == status
    error = said.json["error"] if "error" in said.json else said.json["images"][0]["error"]
    assert reason in error
    assert "\n" not in error


def test_a_name_with_anything_in_it_is_one_line_of_the_answer(url: str) -> None:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="x"; filename="'.encode()
    body = head + b"<b>\xc3\xa4\x01.png" + b'"\r\n\r\n' + encoded("PNG") + f"\r\n--{BOUNDARY}--\r\n".encode()
    said = ask(url, "/predict", "POST", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    assert said.status == 200
    assert said.json["images"][0]["name"].endswith("ä\\x01.png")


def test_too_many_bytes_are_refused_whether_announced_or_not_and_the_sender_gets_to_read_why(url: str) -> None:
    body = bytes(100_000_000)
    announced = ask(url, "/predict", "POST", body, {"Content-Type": "image/png"})
    chunked = ask(url, "/predict", "POST", iter([body[:10_000_000]] * 10), {"Content-Type": "image/png"})
    for said in (announced, chunked):
        assert said.status == 413
        assert said.json["error"] == "a request must have at most 1 MB; send smaller images, or fewer at a time"
    assert send(url, encoded("PNG")).status == 200


def test_who_asks_before_sending_is_answered_before_sending(url: str) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(_place(url)) as connection:
        connection.sendall(head)
        answer = _everything(connection)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


def _place(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


def _everything(connection: socket.socket) -> bytes:
    connection.settimeout(30)
    said = b""
    while more := connection.recv(65536):
        said += more
    return said


def test_slow_senders_are_told_and_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 9000\r\n\r\n"
    with graftwork.serve(folder, port=0, upload_seconds=0.3) as service:
        place = _place(service.url)
        with ThreadPoolExecutor(8) as pool:
            said = list(pool.map(lambda sent: _slowly(place, sent), [b"", head[:20], head, head + b"0" * 8]))
        assert send(service.url, encoded("PNG")).status == 200
    assert said[:2] == [b"", b""]  # no request has arrived that could be answered
    for answer in said[2:]:
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"a request must arrive within 0.3 seconds" in answer


def _slowly(place: tuple[str, int], sent: bytes) -> bytes:
    with socket.create_connection(place) as connection:
        connection.sendall(sent)
        begin = time.monotonic()
        said = _everything(connection)
        assert time.monotonic() - begin < 15
    return said


def test_a_head_without_an_end_is_not_collected(url: str) -> None:
    with socket.create_connection(_place(url)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            _sends_heads(connection, kilobytes=20_000)


def _sends_heads(connection: socket.socket, kilobytes: int) -> None:
    for _ in range(kilobytes):
        connection.sendall(b"X-Long: " + b"x" * 990 + b"\r\n")


def test_what_is_no_http_is_refused(url: str) -> None:
    with socket.create_connection(_place(url)) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00 hello, TLS?\r\n\r\n")
        assert _everything(connection).startswith(b"HTTP/1.1 400")


def test_many_unkind_requests_at_once_leave_it_as_it_was(folder: Path) -> None:
    whole = encoded("JPEG")
    unkind: list[Callable[[str], Said | None]] = [
        lambda url: send(url, whole[:-200]),
        lambda url: send(url, bomb(30_000, 30_000)),
        lambda url: send(url, b"nothing"),
        raw(bytes(2_000_000), "image/png"),
        _leaves_in_the_middle,
    ]
    with graftwork.serve(folder, port=0, max_upload_mb=1) as service:
        before = send(service.url, whole).json
        with ThreadPoolExecutor(16) as pool:
            said = list(pool.map(lambda number: unkind[number % len(unkind)](service.url), range(100)))
        assert {answer.status for answer in said if answer is not None} <= {413, 415, 422, 503}
        assert send(service.url, whole).json == before
        text = ask(service.url, "/metrics").body.decode()
        assert "graftwork_waiting_images 0.0" in text
        assert 'graftwork_requests_total{path="/predict",status="499"}' in text


def _leaves_in_the_middle(url: str) -> None:
    with socket.create_connection(_place(url)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n" + b"0" * 999)


@pytest.fixture(scope="module")
def closed(folder: Path) -> Iterator[str]:
    with graftwork.serve(folder, port=0, token="open-sésame") as service:
        yield service.url


@pytest.mark.parametrize("path", ["/model", "/metrics"])
@pytest.mark.parametrize("sent", [None, "Bearer wrong", "Basic b3Blbg==", "open-sesame", "Bearer"])
def test_without_the_token_there_is_no_answer(closed: str, path: str, sent: str | None) -> None:
    said = ask(closed, path, headers={} if sent is None else {"Authorization": sent})
    assert said.status == 401
    assert said.headers["www-authenticate"] == "Bearer"
    assert said.json["error"].startswith("the service needs its token, as `Authorization: Bearer TOKEN`")


def test_with_the_token_there_is(closed: str) -> None:
    token = {"Authorization": "Bearer open-sésame".encode().decode("latin-1")}
    assert send(closed, encoded("PNG")).status == 401
    assert send(closed, encoded("PNG"), headers=token).status == 200
    assert ask(closed, "/model", headers=token).status == 200
    assert ask(closed, "/model", headers={**token, "Host": "elsewhere.example"}).status == 200
    assert {ask(closed, path).status for path in ("/health", "/", "/docs", "/openapi.json")} == {200}


@given(parts=st.lists(st.integers(0, 40), max_size=12), limit=st.integers(1, 200), left=st.integers(1, 200))
def test_a_body_is_taken_whole_or_refused_and_its_room_is_given_back(parts: list[int], limit: int, left: int) -> None:
    options = ServeOptions(max_upload_mb=limit / 1e6)
    room = Room(options)
    room.bytes = others = max(0, HELD_UPLOADS * limit - left)
    messages = [{"type": "http.request", "body": bytes(n), "more_body": True} for n in parts]
    coming = iter([*messages, {"type": "http.request"}])

    async def receive() -> Any:
        return next(coming)

    async def read() -> int:
        upload, taken = Upload(receive, {}, options, room), 0
        try:
            while not upload.complete:
                taken += len((await upload()).get("body", b""))
        except Refusal as refusal:
            taken = -refusal.status
        complete = await upload.discard()
        upload.release()
        return taken if complete else 0

    taken = asyncio.run(read())
    assert room.bytes == others
    assert next(coming, None) is None  # whatever the answer, the sender has been heard
    if sum(parts) <= min(limit, left):
        assert taken == sum(parts)
    elif sum(parts) <= limit:
        assert taken == -503
    else:
        assert taken in (-413, -503)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"port": 70_000}, "port must be a whole number from 0 to 65535, got 70000"),
        ({"max_upload_mb": 0}, "max_upload_mb must be a number above 0, got 0"),
        ({"max_waiting": 0}, "max_waiting must be a whole number from 1 on, got 0"),
        ({"port": 0, "host": "no.such.host.invalid"}, "--host must be an address of this machine, but no.such.host"),
        ({"port": 0, "host": "192.0.2.1"}, "192.0.2.1:0 must be free to listen on, but: cannot assign requested"),
    ],
)
def test_an_address_or_a_limit_that_cannot_be_is_one_line(folder: Path, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        graftwork.serve(folder, **wrong)  # type: ignore[arg-type]
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
