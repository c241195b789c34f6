"""One file of a web server, from any byte on; redirects have an end, and never lead from https to http."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import http.client
import re
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit

from graftwork.backbones.download import Beginning
from graftwork.backbones.fetch import Unavailable
from graftwork.backbones.patience import PATIENCE, MayPass, Patience
from graftwork.core.shown import one_line
from graftwork.errors import BackboneError

MOST_REDIRECTS = 10
BLOCK_BYTES = 1 << 18
_REDIRECTS = (301, 302, 303, 307, 308)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_PASSING = (408, 425, 429)
_REFUSED = (401, 403, 407)
_MISSING = (404, 410)


@dataclass(frozen=True)
class WebFile:
    """A file at a web address."""

    what: str
    """The address, encoded."""
    patience: Patience = PATIENCE

    def parts(self, begin: int, version: str | None) -> Iterator[Beginning | bytes]:
        """Give the beginning, then the bytes; all of them where the server ignores ranges or the file has changed.

        Raises
        ------
        MayPass
            When the connection is lost, or the server cannot answer now.
        Unavailable
            When the server has no such file or refuses it.
        BackboneError
            When what answers is no web server, or sends elsewhere for ever.
        """
        with contextlib.ExitStack() as stack:
            answer = stack.enter_context(self._answer(begin, version))
            if begin and not _goes_on(answer, begin):
                stack.close()
                answer, begin = stack.enter_context(self._answer(0, None)), 0
            yield _beginning(answer, begin if answer.status == 206 else 0, self.what)
            yield from _blocks(answer)

    @contextlib.contextmanager
    def _answer(self, begin: int, version: str | None) -> Iterator[http.client.HTTPResponse]:
        headers = {"User-Agent": "graftwork", "Accept": "*/*"}
        if begin:
            headers["Range"] = f"bytes={begin}-"
            if version is not None:
                headers["If-Range"] = version
        url = self.what
        for _ in range(MOST_REDIRECTS + 1):
            with contextlib.closing(_request(url, headers, self.patience)) as answer:
                if answer.status not in _REDIRECTS:
                    _require_good(answer, self.what, ranged=begin > 0)
                    yield answer
                    return
                url = _next_address(url, answer.headers.get("Location"), self.what)
        raise BackboneError(
            f"{self.what} must be at most {MOST_REDIRECTS} redirects away, but the server sends elsewhere each time; "
            "check the address"
        )


def _request(url: str, headers: dict[str, str], patience: Patience) -> http.client.HTTPResponse:
    """Return the answer to one request, whatever its status."""
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), _Http(patience), _Https(patience)):
        opener.add_handler(handler)
    host = urlsplit(url).hostname
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=patience.connect_seconds)
    except (http.client.RemoteDisconnected, OSError) as error:
        raise _lost(error, host) from error
    except (http.client.HTTPException, ValueError) as error:
        raise Unavailable(
            f"{url} must be served by a web server, but {host} answers something else ({_short(error)}); check the "
            "address"
        ) from error
    if not isinstance(answer, http.client.HTTPResponse):
        raise Unavailable(
            f"{url} must be reached by http, but the proxy that is set is of another kind; set one of http"
        )
    return answer


def _lost(error: Exception, host: str | None) -> Exception:
    """Return what a failure before any answer means."""
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Unavailable(
            f"{host} must show a certificate that this machine trusts, but: {cause.verify_message}; check the address "
            "and this machine's clock and certificates (SSL_CERT_FILE)"
        )
    if isinstance(cause, socket.gaierror):
        return MayPass(f"no host {host} is known here", contact=False)
    if isinstance(cause, ConnectionRefusedError):
        return MayPass(f"{host} does not answer", contact=False)
    return MayPass(f"the connection to {host} was lost ({_short(cause)})")


def _require_good(answer: http.client.HTTPResponse, what: str, *, ranged: bool) -> None:
    """Raise unless an answer has the file, or the request for a range can be made again without one."""
    status, said = answer.status, one_line(f"{answer.status} {answer.reason}".strip()[:80])
    if status == 200 or (ranged and status in (206, 416)):
        coding = answer.headers.get("Content-Encoding", "identity").lower()
        if coding != "identity":
            raise Unavailable(
                f"{what} must be sent as it is, but the server encodes it ({coding[:40]}); tell who runs it"
            )
    elif status in _PASSING or status >= 500:
        after = _seconds_to_wait(answer.headers.get("Retry-After"))
        raise MayPass(f"the server answers {said}", answered=True, after_seconds=after)
    elif status in _MISSING:
        raise Unavailable(f"{what} must be there, but the server has no such file ({said}); check the address")
    elif status in _REFUSED:
        raise Unavailable(f"{what} must be open to everybody, but the server refuses it ({said}); ask who publishes it")
    else:
        raise Unavailable(f"{what} must be sent, but the server answers {said}; check the address")


def _next_address(url: str, location: str | None, what: str) -> str:
    try:
        target = urljoin(url, location or "")
        parts = urlsplit(target)
        good = bool(location) and parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and not (urlsplit(url).scheme == "https" and parts.scheme == "http")
    except ValueError:
        good = False
    if not good:
        raise Unavailable(
            f"{what} must be at an address of http or https, and stay with https, but the server sends to "
            f"{(location or 'nowhere')[:200]!r}; check the address"
        )
    return target


def _goes_on(answer: http.client.HTTPResponse, begin: int) -> bool:
    """Whether an answer to a request for a range can be used: it goes on at this byte, or has everything."""
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return answer.status == 200 or (answer.status == 206 and match is not None and int(match[1]) == begin)


def _beginning(answer: http.client.HTTPResponse, begins_at: int, what: str) -> Beginning:
    etag = answer.headers.get("ETag")
    strong = etag if etag is not None and re.fullmatch('"[!-~]*"', etag) else None
    version = strong or answer.headers.get("Last-Modified")
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", "")) if answer.status == 206 else None
    total = int(match[2]) if match is not None and match[2] != "*" else None
    if total is None and answer.length is not None:
        total = begins_at + answer.length
    return Beginning(begins_at, version, total)


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := answer.read1(BLOCK_BYTES):
            yield block
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MayPass(f"the connection was lost ({_short(error)})", answered=False) from error
    if answer.length:  # http.client says nothing when fewer bytes come than announced
        raise MayPass(f"the connection was closed {answer.length:,} bytes before the end")


def _seconds_to_wait(text: str | None) -> float | None:
    """Return what ``Retry-After`` asks for: seconds, or a date; None where it is neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text[:12])
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=datetime.UTC)
    return max(0.0, (until - datetime.datetime.now(datetime.UTC)).total_seconds())


def _short(error: BaseException) -> str:
    return one_line((str(error).strip() or type(error).__name__).splitlines()[0][:120])


class _Http(urllib.request.AbstractHTTPHandler):
    """Opens connections that are allowed more time for an answer than to come about."""

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._patience = patience

    http_request = urllib.request.AbstractHTTPHandler.do_request_

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        def connection(host: str, **options: Any) -> _Connection:
            opened = _Connection(host, **options)
            opened.silence_seconds = self._patience.silence_seconds
            return opened

        return self.do_open(connection, request)


class _Https(urllib.request.AbstractHTTPHandler):
    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._patience = patience

    https_request = urllib.request.AbstractHTTPHandler.do_request_

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        context = ssl.create_default_context()

        def connection(host: str, **options: Any) -> _SecureConnection:
            opened = _SecureConnection(host, context=context, **options)
            opened.silence_seconds = self._patience.silence_seconds
            return opened

        return self.do_open(connection, request)


class _Connection(http.client.HTTPConnection):
    silence_seconds = PATIENCE.silence_seconds

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.silence_seconds)


class _SecureConnection(http.client.HTTPSConnection):
    silence_seconds = PATIENCE.silence_seconds

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.silence_seconds)
