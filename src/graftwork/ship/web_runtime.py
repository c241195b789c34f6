"""What runs an exported file in a browser: onnxruntime-web, in one version, from where the user's npm fetches."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from graftwork.errors import UsageError
from graftwork.files import cache_folder, storage_errors, whole_file

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""As npm writes it into its lock files: whoever publishes or mirrors the package cannot change it unnoticed."""
SCRIPT = "ort.wasm.bundle.min.js"
BINARY = "ort-wasm-simd-threaded.wasm"

# .mjs becomes .js: some servers send .mjs as no script, and a browser then refuses it.
_MEMBERS = {"package/dist/ort.wasm.bundle.min.mjs": SCRIPT, f"package/dist/{BINARY}": BINARY}
LICENCES = {"onnxruntime-LICENSE.txt": "LICENSE", "onnxruntime-ThirdPartyNotices.txt": "ThirdPartyNotices.txt"}
"""npm's package holds no licence; these, under their names here, are in Python's package of the same project."""
_MOST_SECONDS = 900
_BY_HAND = (
    f"give --runtime-from the file that `npm pack {PACKAGE}@{VERSION}` writes, on any machine that reaches a registry"
)


class WebRuntime(NamedTuple):
    """The files of the runtime that a page needs, by name."""

    files: Mapping[str, bytes]

    @property
    def size_mb(self) -> float:
        """Megabytes (10^6 bytes) that a visitor loads."""
        return (len(self.files[SCRIPT]) + len(self.files[BINARY])) / 1e6


def web_runtime(archive: Path | None = None) -> WebRuntime:
    """Return the runtime of the page.

    Parameters
    ----------
    archive
        The package as npm packs it; None takes it from the cache, or has npm fetch it, from the registry that npm is
        set to.

    Raises
    ------
    UsageError
        When the archive is another one, npm is missing, or npm cannot fetch it.
    StorageError
        When the cache cannot be written.
    """
    if archive is not None:
        return _unpacked(_given(archive))
    cached = cache_folder("downloads") / f"{PACKAGE}-{VERSION}.tgz"
    data = cached.read_bytes() if cached.is_file() else b""
    if integrity(data) != INTEGRITY:
        data = _fetched()
        with whole_file(cached) as part:
            part.write_bytes(data)
    return _unpacked(data)


def integrity(data: bytes) -> str:
    """Return the digest of an archive as npm writes it."""
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"


def find_program(name: str) -> str | None:
    """Return the path of a program, beside this Python or on the PATH; None where it is not installed."""
    places = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
    return shutil.which(name, path=os.pathsep.join(places))


def _given(archive: Path) -> bytes:
    try:
        data = archive.read_bytes()
    except OSError as error:
        raise UsageError(
            f"--runtime-from must be a file, but {archive} cannot be read: {error.strerror}; correct the path"
        ) from error
    if integrity(data) != INTEGRITY:
        raise UsageError(
            f"--runtime-from must be {PACKAGE} {VERSION} as npm packs it ({INTEGRITY[:20]}…), but {archive} is "
            f"{integrity(data)[:20]}…; {_BY_HAND}"
        )
    return data


def _fetched() -> bytes:
    npm = find_program("npm")
    if npm is None:
        raise UsageError(
            f"the page needs {PACKAGE} {VERSION}, which npm fetches, but npm is not installed here; `pip install "
            f"'graftwork[web]'` brings it, or {_BY_HAND}"
        )
    with storage_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as place:
        # in the user's folder, so that the settings of npm there count
        options = ["--pack-destination", place, "--ignore-scripts", "--json", "--loglevel=silent"]
        try:
            done = subprocess.run(
                [npm, "pack", f"{PACKAGE}@{VERSION}", *options],
                capture_output=True,
                timeout=_MOST_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise _not_fetched(f"it was not there after {_MOST_SECONDS:,} seconds") from error
        packed = sorted(Path(place).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            raise _not_fetched(_what_npm_says(done.stdout))
        data = packed[0].read_bytes()
    if integrity(data) != INTEGRITY:
        raise _not_fetched(f"what came is another file ({integrity(data)[:20]}… for {INTEGRITY[:20]}…)")
    return data


def _not_fetched(why: str) -> UsageError:
    return UsageError(f"npm must be able to fetch {PACKAGE} {VERSION}, but: {why}; try again, or {_BY_HAND}")


def _what_npm_says(said: bytes) -> str:
    try:
        return " ".join(str(json.loads(said)["error"]["summary"]).split())
    except (ValueError, KeyError, TypeError):
        return "it failed without saying why"


def _unpacked(data: bytes) -> WebRuntime:
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as package:
        for member, name in _MEMBERS.items():
            file = package.extractfile(member)
            assert file is not None
            files[name] = file.read()
    licences = resources.files("onnxruntime")
    return WebRuntime(files | {name: (licences / given).read_bytes() for name, given in LICENCES.items()})
