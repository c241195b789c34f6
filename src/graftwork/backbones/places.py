"""Where published networks are: a web server, a folder, a bucket or a repository of a hub, all read in the same way."""

from __future__ import annotations

import re
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from graftwork.backbones.download import (
    Beginning,
    Source,
    checked_sha256,
    download,
    is_there,
    megabytes,
    read_small,
    wrong_sha256,
)
from graftwork.backbones.fetch import (
    Unavailable,
    Unreachable,
    cached_hub_file,
    download_from_hub,
    require_online,
)
from graftwork.backbones.patience import PATIENCE, MayPass, Patience
from graftwork.backbones.web import WebFile
from graftwork.core.shown import one_line
from graftwork.errors import BackboneError
from graftwork.files import sha256_of, whole_file
from graftwork.listener import SILENT, Listener

HUB = "hf-hub:"
LONGEST_PATH = 1000
LONGEST_NAME_BYTES = 255
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_LOCAL_BUCKETS = ("memory",)
_BLOCK_BYTES = 1 << 20
_VERSIONS = ("ETag", "etag", "md5Hash", "crc32c", "LastModified", "last_modified", "updated", "mtime", "created")
"""What file systems of fsspec say that changes with a file, the strongest first."""


class Place(Protocol):
    """Where somebody published networks; paths in it are relative, with slashes."""

    @property
    def address(self) -> str:
        """As a person would write it."""

    def read(self, path: str, most_bytes: int) -> bytes:
        """Return the bytes of a small file, as they are now.

        Raises
        ------
        BackboneError
            When there is no such file (Unavailable), the place does not answer (Unreachable), the file is larger than
            ``most_bytes``, or ``path`` leaves the place.
        """

    def fetch(
        self, path: str, to: Path, *, sha256: str, size_bytes: int, partials: Path, listener: Listener = SILENT
    ) -> None:
        """Put a file at ``to``, whole or not at all.

        Parameters
        ----------
        path
            The file in this place.
        to
            Its place here. What is there already is left alone if it has this sha256, and replaced at the end if not.
        sha256
            64 hexadecimal digits; nothing else takes the place.
        size_bytes
            What is announced; more is not read.
        partials
            A folder for unfinished downloads, each named after its sha256: a later call goes on with it. A hub's client
            uses its own cache instead.
        listener
            Hears of progress in megabytes.

        Raises
        ------
        BackboneError
            As ``read``, or when what arrives is another file than announced.
        StorageError
            When something cannot be written here.
        """


def open_place(address: str, patience: Patience = PATIENCE) -> Place:
    """Return the place at an address; nothing is requested yet.

    Parameters
    ----------
    address
        ``https://…``, ``http://…``, a folder, ``file:///…``, ``hf-hub:owner/name`` (and ``@revision``), or an address
        of fsspec's, such as ``s3://bucket/folder``, ``gs://…`` or ``memory://…``.
    patience
        How long to wait for other machines. A hub's client has its own (``HF_HUB_DOWNLOAD_TIMEOUT``).

    Raises
    ------
    BackboneError
        When there is no such folder, the address is none, or a package for its scheme is missing.
    """
    if address.startswith(HUB):
        return _hub(address)
    scheme = match[1].lower() if (match := _ADDRESS.match(address)) else "file" if address[:5] == "file:" else ""
    if scheme in ("http", "https"):
        return _web(address, patience)
    if scheme in ("", "file", "local"):
        return _folder(address, scheme, patience)
    return _bucket(address, scheme, patience)


def safe_path(text: object, where: str) -> str:
    """Return a path of somebody else's index, if it stays inside on every system.

    Parameters
    ----------
    text
        What the index says.
    where
        The index, for the message.

    Raises
    ------
    BackboneError
        When it is no relative path with slashes: absolute, with a drive, a backslash, a colon, a control character, an
        empty or too long name, or a name that begins with a dot or ends with a dot or a space.
    """
    why = _unsafe(text)
    if why is not None:
        shown = one_line(str(text)[:80])
        raise BackboneError(
            f"{where} must name files by relative paths inside it, but {shown!r} {why}; ask who publishes it"
        )
    return str(text)


def _unsafe(text: object) -> str | None:
    if not isinstance(text, str):
        return "is no text"
    if not text or len(text) > LONGEST_PATH:
        return "is empty" if not text else f"is longer than {LONGEST_PATH} characters"
    if text.startswith("/"):
        return "is absolute"
    if "\\" in text or ":" in text:
        return "has a backslash or a colon"
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in text):
        return "has a control character"
    names = text.split("/")
    if any(name.startswith(".") for name in names):
        return "has a name that begins with a dot"
    if any(not name or name.endswith((".", " ")) for name in names):
        return "has a name that is empty, or ends with a dot or a space"
    if any(len(name.encode()) > LONGEST_NAME_BYTES for name in names):
        return "has a name that is too long"
    return None


@dataclass(frozen=True)
class _Files:
    """A place whose files are read from any byte on."""

    address: str
    source: Callable[[str], Source]
    """A file by its path."""
    patience: Patience

    def read(self, path: str, most_bytes: int) -> bytes:
        return read_small(self.source(safe_path(path, self.address)), most_bytes, self.patience)

    def fetch(
        self, path: str, to: Path, *, sha256: str, size_bytes: int, partials: Path, listener: Listener = SILENT
    ) -> None:
        download(
            self.source(safe_path(path, self.address)),
            to,
            sha256=sha256,
            size_bytes=size_bytes,
            partials=partials,
            listener=listener,
            patience=self.patience,
        )


@dataclass(frozen=True)
class _Online:
    """A file that needs a network."""

    file: Source

    @property
    def what(self) -> str:
        return self.file.what

    def parts(self, begin: int, version: str | None) -> Iterator[Beginning | bytes]:
        require_online(self.what, "unset it, or use a folder that is on this machine")
        yield from self.file.parts(begin, version)


def _web(address: str, patience: Patience) -> Place:
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        good = bool(host) and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        good = False
    if not good or re.search(r"[\s\x00-\x1f]", address):
        # it may hold a password, so it is not repeated
        raise BackboneError(
            "the address of a zoo must be that of a folder on a web server, https://HOST/FOLDER, but has no host, a "
            "user, a `?` or a `#`, or blanks; correct it"
        )
    host = f"[{host}]" if ":" in host else host
    path = quote(parts.path, safe="/%~:@!$&'()*+,;=").rstrip("/")
    root = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{path}"
    return _Files(root, lambda name: _Online(WebFile(f"{root}/{quote(name)}", patience)), patience)


@dataclass(frozen=True)
class _LocalFile:
    """A file of a folder on this machine."""

    path: Path

    @property
    def what(self) -> str:
        return str(self.path)

    def parts(self, begin: int, version: str | None) -> Iterator[Beginning | bytes]:
        try:
            state = self.path.stat()
            if not stat.S_ISREG(state.st_mode):
                raise Unavailable(f"{self.path} must be a file, but is something else; check the folder")
            now = f"{state.st_size} {state.st_mtime_ns}"
            begin = begin if version in (None, now) and begin <= state.st_size else 0
            with self.path.open("rb") as file:
                file.seek(begin)
                yield Beginning(begin, now, state.st_size)
                while block := file.read(_BLOCK_BYTES):
                    yield block
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Unavailable(f"{self.path} must be there, but is not; check the folder") from error
        except OSError as error:
            raise Unavailable(f"{self.path} must be readable, but: {error.strerror}; check the folder") from error


def _folder(address: str, scheme: str, patience: Patience) -> Place:
    folder = Path(address)
    if scheme:
        parts = urlsplit(address)
        folder = Path(url2pathname(unquote(parts.path) if scheme == "local" else parts.path))
        if parts.netloc not in ("", "localhost"):
            raise BackboneError(
                f"{address} must be a folder on this machine, file:///FOLDER, but names a host; correct it"
            )
    folder = folder.expanduser()
    if not folder.is_dir():
        raise Unavailable(
            f"{one_line(str(folder))} must be a folder or an address such as https://… or hf-hub:owner/name, but there "
            "is no such folder; check it"
        )
    return _Files(str(folder), lambda name: _LocalFile(folder / name), patience)


@dataclass(frozen=True)
class _BucketFile:
    """A file of one of fsspec's file systems."""

    what: str

    def parts(self, begin: int, version: str | None) -> Iterator[Beginning | bytes]:
        import fsspec

        try:
            system, path = fsspec.core.url_to_fs(self.what, use_listings_cache=False)
            facts = system.info(path)
            size, now = facts.get("size"), next((str(facts[key]) for key in _VERSIONS if facts.get(key)), None)
            begin = begin if version in (None, now) and begin <= (size or 0) else 0
            with system.open(path, "rb", cache_type="none") as file:
                file.seek(begin)
                yield Beginning(begin, now, size)
                while block := file.read(_BLOCK_BYTES):
                    yield block
        except (BackboneError, MayPass):
            raise
        except Exception as error:  # each file system raises what its packages do
            raise _of_bucket(self.what, error) from error


def _of_bucket(what: str, error: Exception) -> Exception:
    why = ((str(error).strip() or type(error).__name__).splitlines()[0])[:200]
    if isinstance(error, FileNotFoundError | IsADirectoryError):
        return Unavailable(f"{what} must be there, but there is no such file; check the address")
    anonymous = ", or set FSSPEC_S3_ANON=true if everybody may read this bucket" if what.startswith("s3") else ""
    if isinstance(error, PermissionError) or "credential" in why.lower():
        return Unavailable(f"{what} must be open to you, but: {why}; give your credentials{anonymous}")
    if isinstance(error, OSError):
        return MayPass(
            f"the connection was lost ({why})", answered=not isinstance(error, ConnectionError | TimeoutError)
        )
    if "connect" in type(error).__name__.lower():
        return Unreachable(f"{what} must be fetched, but: {why}; check the address and the network")
    return Unavailable(f"{what} must be fetched, but: {type(error).__name__}: {why}; check the address")


def _bucket(address: str, scheme: str, patience: Patience) -> Place:
    import fsspec
    from fsspec.registry import known_implementations

    shown = one_line(address[:200])
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        package = known_implementations[scheme]["class"].partition(".")[0]
        install = f"`pip install {package}`" if package != "fsspec" else known_implementations[scheme]["err"]
        raise BackboneError(
            f"{shown} must be read by a package for {scheme}://, but that is not installed; {install}"
        ) from error
    except ValueError as error:
        raise BackboneError(
            f"{shown} must begin with a scheme that fsspec knows, such as https, s3 or gs, but {scheme} is none; "
            "correct it"
        ) from error
    root = address.rstrip("/") if not address.endswith("://") else address
    join = "" if root.endswith("://") else "/"

    def source(name: str) -> Source:
        file = _BucketFile(f"{root}{join}{name}")
        return file if scheme in _LOCAL_BUCKETS else _Online(file)

    return _Files(root, source, patience)


def _hub(address: str) -> Place:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # exported, unmarked

    repository, _, revision = address.removeprefix(HUB).partition("@")
    try:
        validate_repo_id(repository)
        good = bool(revision) or "@" not in address
    except HFValidationError:
        good = False
    if not good or (revision and _unsafe(revision) is not None):
        raise BackboneError(
            f"{one_line(address[:200])} must be {HUB}OWNER/NAME, or {HUB}OWNER/NAME@REVISION; correct it"
        )
    return _Repository(address, repository, revision or None)


@dataclass(frozen=True)
class _Repository:
    """A repository of a hub, read by the hub's own client: its cache, tokens, mirrors and offline mode."""

    address: str
    repository: str
    revision: str | None

    def read(self, path: str, most_bytes: int) -> bytes:
        name = safe_path(path, self.address)
        try:
            file = self._download(name, _counting(SILENT, most_bytes, name))
        except Unreachable:
            cached = cached_hub_file(self.repository, name, self.revision)
            if cached is None:
                raise
            file = cached
        if file.stat().st_size > most_bytes:
            raise _too_large(f"{name} of {self.repository}", most_bytes)
        return file.read_bytes()

    def fetch(
        self, path: str, to: Path, *, sha256: str, size_bytes: int, partials: Path, listener: Listener = SILENT
    ) -> None:
        name = safe_path(path, self.address)
        what = f"{name} of {self.repository}"
        checksum = checked_sha256(sha256, what)
        if is_there(to, checksum):
            return
        file = cached_hub_file(self.repository, name, self.revision)
        if file is None or sha256_of(file) != checksum:
            # what is cached is old or damaged, and the client would not look into it
            file = self._download(name, _counting(listener, size_bytes, what), again=file is not None)
        if (actual := sha256_of(file)) != checksum:
            raise BackboneError(wrong_sha256(what, checksum, actual))
        with whole_file(to) as part:
            shutil.copyfile(file, part)

    def _download(self, name: str, progress: type[Any], *, again: bool = False) -> Path:
        return download_from_hub(
            self.repository,
            name,
            self.revision,
            again=again,
            progress=progress,
            otherwise="check the network and HF_ENDPOINT, and try again",
        )


def _too_large(what: str, most_bytes: int) -> BackboneError:
    return BackboneError(f"{what} must have at most {most_bytes:,} bytes, but has more; ask who publishes it")


def _counting(listener: Listener, most_bytes: int, what: str) -> type[Any]:
    """Return what a hub's client takes for a bar: it tells a listener, and ends what is larger than announced."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # exported, unmarked

    tell = megabytes(listener, most_bytes)

    class Counting(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]
            self._bytes = int(options.get("initial") or 0)
            if (options.get("total") or 0) > most_bytes:
                raise _too_large(what, most_bytes)

        def update(self, n: float | None = 1) -> None:
            self._bytes += int(n or 0)
            if self._bytes > most_bytes:
                raise _too_large(what, most_bytes)
            tell(self._bytes)

    return Counting
