"""A large file of somebody else's machine arrives whole or not at all: resumed, retried, bounded, checked by sha256."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from graftwork.backbones.fetch import Unavailable
from graftwork.backbones.patience import PATIENCE, MayPass, Patience, paced, patiently
from graftwork.errors import BackboneError
from graftwork.files import read_cached, sha256_of, storage_errors, whole_file, write_json
from graftwork.listener import SILENT, Listener


@dataclass(frozen=True)
class Beginning:
    """What is known of a file's bytes before the first of them arrives."""

    begins_at: int
    """The first byte that comes: 0, or the one that was requested."""
    version: str | None
    """Another text once the file has changed; None where that cannot be known."""
    total_bytes: int | None
    """The size of the whole file; None where it is not announced."""


class Source(Protocol):
    """Where one file comes from."""

    @property
    def what(self) -> str:
        """Its full address, for messages."""

    def parts(self, begin: int, version: str | None) -> Iterator[Beginning | bytes]:
        """Give the beginning, then the bytes; from ``begin`` on, if the file is still of this version.

        Raises
        ------
        MayPass
            When another attempt may do better.
        BackboneError
            When none will.
        """


def read_small(source: Source, most_bytes: int, patience: Patience = PATIENCE) -> bytes:
    """Return the bytes of a small file, such as an index.

    Raises
    ------
    BackboneError
        When it cannot be had (Unavailable, Unreachable), or is larger than ``most_bytes``.
    """

    def attempt() -> bytes:
        content = bytearray()
        for part in paced(lambda: source.parts(0, None), patience):
            if isinstance(part, bytes):
                content += part
            if len(content) > most_bytes or (isinstance(part, Beginning) and (part.total_bytes or 0) > most_bytes):
                raise BackboneError(
                    f"{source.what} must have at most {most_bytes:,} bytes, but has more; check the address"
                )
        return bytes(content)

    return patiently(attempt, source.what, patience, lambda: 0)


def download(
    source: Source,
    to: Path,
    *,
    sha256: str,
    size_bytes: int,
    partials: Path,
    listener: Listener = SILENT,
    patience: Patience = PATIENCE,
) -> None:
    """Put a file at ``to``, whole or not at all; what arrives before an interruption is saved, and never sent again.

    Parameters
    ----------
    source
        Where it comes from. Another source of the same content goes on with what this one left.
    to
        Its place. What is there already is left alone if it has this sha256, and replaced at the end if not.
    sha256
        64 hexadecimal digits; nothing else takes the place.
    size_bytes
        What is announced. A source that has or sends another number of bytes is refused.
    partials
        The folder of unfinished downloads, each named after its sha256.
    listener
        Hears of progress in megabytes.
    patience
        How long to wait for the source, and how often.

    Raises
    ------
    Unreachable
        When the source does not answer or its connection is lost, again and again.
    Unavailable
        When the source answers, but does not give the file.
    BackboneError
        When it gives another file than announced; nothing of that is left.
    StorageError
        When ``partials`` or ``to`` cannot be written.
    """
    checksum = checked_sha256(sha256, source.what)
    partial = _Partial(partials / f"{checksum}.part", source.what)
    with storage_errors(partials):
        partials.mkdir(parents=True, exist_ok=True)
    with _alone(partial, patience, listener):
        if is_there(to, checksum):
            return
        if _fill(source, partial, size_bytes, listener, patience) and sha256_of(partial.path) != checksum:
            # bytes of several answers may be of several versions, which nothing but the sum betrays
            partial.clear()
            _fill(source, partial, size_bytes, listener, patience)
        if (actual := sha256_of(partial.path)) != checksum:
            partial.clear()
            raise BackboneError(wrong_sha256(source.what, checksum, actual))
        _move(partial.path, to)
        partial.clear()


def checked_sha256(text: object, what: str) -> str:
    """Return a sha256 in lower case.

    Raises
    ------
    BackboneError
        When it is none: it comes from an index of others, and becomes the name of a file here.
    """
    if not isinstance(text, str) or not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise BackboneError(
            f"{what} must come with a sha256 of 64 hexadecimal digits, but has {str(text)[:80]!r}; ask who publishes it"
        )
    return text.lower()


def is_there(path: Path, sha256: str) -> bool:
    """Whether a file with this content is at ``path``."""
    return path.is_file() and not path.is_symlink() and sha256_of(path) == sha256


def wrong_sha256(what: str, expected: str, actual: str) -> str:
    """Return the line about a file that is another one than announced."""
    return (
        f"{what} must have sha256 {expected}, but what was sent has {actual} and was deleted; it was changed or "
        "damaged: try again, or ask who publishes it"
    )


@dataclass(frozen=True)
class _Origin:
    """Where the bytes of an unfinished download are from."""

    address: str
    version: str | None


@dataclass(frozen=True)
class _Partial:
    """An unfinished download on disk, and next to it where it is from."""

    path: Path
    what: str

    @property
    def _origin(self) -> Path:
        return self.path.with_suffix(".json")

    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self) -> str | None:
        """What the same address said of the file; another address has words of its own, and the sha256 decides."""
        origin = read_cached(self._origin, _Origin)
        return origin.version if origin is not None and origin.address == self.what else None

    def begin(self, version: str | None) -> None:
        write_json(self._origin, {"address": self.what, "version": version})

    def clear(self) -> None:
        with storage_errors(self.path):
            self.path.unlink(missing_ok=True)
            self._origin.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(partial: _Partial, patience: Patience, listener: Listener) -> Iterator[None]:
    """Wait for another download of the same content, as long as that goes on."""
    lock = FileLock(partial.path.with_suffix(".lock"))
    pause = patience.connect_seconds + patience.silence_seconds + patience.longest_wait_seconds
    with storage_errors(partial.path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            listener.say(f"another download of {partial.what} goes on; this one waits for it")
            before = -1
            while not lock.is_locked:
                if (now := partial.size_bytes()) == before:
                    raise Unavailable(
                        f"{partial.what} must be fetched by one process at a time, but another one holds it and does "
                        "not go on; end that one and try again"
                    ) from None
                before = now
                with contextlib.suppress(Timeout):
                    lock.acquire(timeout=pause)
    try:
        yield
    finally:
        lock.release()


def _fill(source: Source, partial: _Partial, size_bytes: int, listener: Listener, patience: Patience) -> bool:
    """Append what is missing, and return whether the bytes are of more than one answer."""
    begin = partial.size_bytes()
    if begin > size_bytes:
        partial.clear()
        begin = 0
    answers = 1 if begin else 0

    def attempt() -> None:
        nonlocal answers
        answers += 1
        if _append(source, partial, size_bytes, listener, patience) == 0:
            answers = 1

    if begin < size_bytes or begin == 0:
        patiently(attempt, source.what, patience, partial.size_bytes)
    return answers > 1 or begin == size_bytes > 0


def _append(source: Source, partial: _Partial, size_bytes: int, listener: Listener, patience: Patience) -> int:
    """Append what one answer gives, and return at which byte it began."""
    tell = megabytes(listener, size_bytes)
    begin, version = partial.size_bytes(), partial.version()
    parts = paced(lambda: source.parts(begin, version), patience)
    with contextlib.closing(parts):
        beginning = next(parts)
        assert isinstance(beginning, Beginning)
        if beginning.total_bytes not in (None, size_bytes):
            raise Unavailable(
                f"{source.what} must have {size_bytes:,} bytes, as announced, but has {beginning.total_bytes:,}; it "
                "was changed, or is another file: ask who publishes it"
            )
        if beginning.begins_at == 0:
            partial.clear()
        partial.begin(beginning.version)
        done = beginning.begins_at
        with storage_errors(partial.path), partial.path.open("ab") as file:
            tell(done)
            for block in parts:
                assert isinstance(block, bytes)
                done += len(block)
                if done > size_bytes:
                    break
                file.write(block)
                file.flush()  # what arrived is there after a kill, too
                tell(done)
    if done > size_bytes:
        partial.clear()
        raise BackboneError(
            f"{source.what} must have {size_bytes:,} bytes, as announced, but more are sent; what came was deleted: "
            "ask who publishes it"
        )
    if done < size_bytes:
        raise MayPass(f"only {done:,} of {size_bytes:,} bytes arrived", answered=True)
    return beginning.begins_at


def megabytes(listener: Listener, size_bytes: int) -> Callable[[int], None]:
    """Return what tells of progress, once for each megabyte."""
    total = max(1, math.ceil(size_bytes / 1e6))
    last = -1

    def tell(done: int) -> None:
        nonlocal last
        now = total if done >= size_bytes else done // 1_000_000
        if now != last:
            last = now
            listener.progress(now, total)

    return tell


def _move(partial: Path, to: Path) -> None:
    with storage_errors(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(partial, to)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with whole_file(to) as copy:
                shutil.copyfile(partial, copy)
