"""Writing files whole or not at all; where the cache is, and the home of what cannot be computed again."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from graftwork.errors import StorageError

CACHE_VARIABLE = "GRAFTWORK_CACHE"
HOME_VARIABLE = "GRAFTWORK_HOME"
CacheKind = Literal["backbones", "codes", "downloads", "engines", "measurements"]
CACHE_KINDS: tuple[CacheKind, ...] = get_args(CacheKind)
"""The folders of the cache, all of which can be computed again; anything else there is not graftwork's."""
SETTLED_SECONDS = 2.0
"""A file that changed longer ago than this shows every later change in its times: FAT counts in two seconds."""

Record = TypeVar("Record")


def cache_root() -> Path:
    """Return the folder of everything that can be computed again: ``$GRAFTWORK_CACHE`` or the system's."""
    import platformdirs

    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("graftwork", appauthor=False))


def cache_folder(kind: CacheKind) -> Path:
    """Return the folder of one kind of what can be computed again."""
    return cache_root() / kind


def home_folder() -> Path:
    """Return the folder of everything that cannot be computed again: ``$GRAFTWORK_HOME`` or the system's.

    The ledger of looks at test images is here; clearing the cache leaves it alone.
    """
    import platformdirs

    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("graftwork", appauthor=False))


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path next to ``path`` to write to; it takes its place only when the block ends well.

    Raises
    ------
    StorageError
        When the folder cannot be written to, or the disk is full. What was there before is still there.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            os.chmod(part, 0o666 & ~_umask())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder next to ``path`` to fill; at the end of the block it replaces ``path``."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent))
        old = part.with_suffix(".old")
        try:
            yield part
            for inside in part.rglob("*"):  # safetensors writes files that nobody else may read, such as a web server
                os.chmod(inside, (0o777 if inside.is_dir() else 0o666) & ~_umask())
            os.chmod(part, 0o777 & ~_umask())
            if path.exists():
                os.replace(path, old)
            os.replace(part, path)
        finally:
            if old.exists() and not path.exists():
                os.replace(old, path)
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def whole_files(path: Path) -> Iterator[Path]:
    """Give a temporary folder next to ``path`` to fill; at the end of the block what is in it takes its place there.

    ``path`` comes last: where it is, the files and folders that belong to it are, too.

    Raises
    ------
    StorageError
        When the folder cannot be written to, or the disk is full. What was there before is still there.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent))
        try:
            yield part
            for made in sorted(part.iterdir(), key=lambda made: made.name == path.name):
                place = path.parent / made.name
                if made.is_dir() and place.is_dir():
                    os.replace(place, part / f"{made.name}.old")
                os.replace(made, place)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; bytes of a name that are no text become escapes, as in JSON."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that people can read, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_cached(path: Path, kind: type[Record]) -> Record | None:
    """Return what a JSON file of ours holds; None where it is missing or damaged, so that it is made again."""
    import cattrs

    try:
        return cattrs.structure(json.loads(path.read_text(encoding="utf-8")), kind)
    except (OSError, ValueError, TypeError, AttributeError, cattrs.BaseValidationError):
        return None


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits that name a file's content, which is read once in this process unless the file changes."""
    stat = path.stat()
    state = _FileState(path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED_SECONDS:
        return _remembered_sha256(state)
    return _sha256(state)


class _FileState(NamedTuple):
    """A file, and what is another value once its content has changed."""

    path: Path
    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int
    """Set by the system alone, also where a copy keeps the time of modification."""


def _sha256(state: _FileState) -> str:
    with state.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_remembered_sha256 = functools.lru_cache(maxsize=100_000)(_sha256)


def size_mb(folder: Path) -> float:
    """Megabytes (10^6 bytes) of everything below a folder; files that vanish meanwhile count nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(place, name)).st_size
    return total / 1e6


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise StorageError, in one line that names ``path``, for every OSError of the block."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(
            f"{path} must be writable, but: {why}; free some space or choose another place (-o, {CACHE_VARIABLE}, "
            f"{HOME_VARIABLE})"
        ) from error
