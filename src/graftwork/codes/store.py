"""The store: codes on disk, found by the content of the image and by everything else they depend on.

A *space* is one way to compute codes (weights, preprocessing, view, engine, precision); its name is the hash of
these. It holds *shards*, each written whole: the digests of some images and one array per layer, memory-mapped
when read. An image that is in no shard has no codes yet; there is nothing else to keep consistent, so a killed
extraction goes on after its last shard.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.core.facts import digest_of
from graftwork.errors import StorageError, UsageError
from graftwork.files import cache_folder, size_mb, whole_folder, write_json

Codes = NDArray[np.floating]

BUDGET_MB = 20_000.0
"""What the store may take before the spaces unused for longest are dropped; ``BUDGET_VARIABLE`` overrides."""
BUDGET_VARIABLE = "GRAFTWORK_CACHE_MB"


@dataclasses.dataclass(eq=False)
class _Shard:
    folder: Path
    digests: NDArray[np.bytes_]
    """(rows,) sha256 of each image, as 64 hexadecimal digits."""
    layers: dict[str, dict[str, Any]]
    """File and checksum of each layer's array."""
    sound: set[str] = dataclasses.field(default_factory=set)
    """Layers whose checksum was compared in this process."""

    def open(self, layer: str) -> Codes:
        """(rows, d) memory-mapped codes of a layer, checked when first read."""
        path = self.folder / self.layers[layer]["file"]
        if layer not in self.sound:
            if _checksum(path) != self.layers[layer]["crc32"]:
                raise ValueError(f"{path} has another checksum than when it was written")
            self.sound.add(layer)
        values: Codes = np.load(path, mmap_mode="r", allow_pickle=False)
        return values


class Space:
    """Codes computed in one way, of any number of images."""

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder = folder
        self.key = dict(key)
        self.damaged = 0
        """Shards that did not hold what was written, and were dropped."""
        self._shards = self._read_shards()
        self._indexed: dict[str, _Index] = {}

    def missing(self, digests: Sequence[str], layers: Sequence[str]) -> NDArray[np.intp]:
        """Positions of the images that lack the codes of any of these layers; equal images count once."""
        stored = np.ones(len(digests), bool)
        for layer in layers:
            stored &= self._find(digests, layer)[0] >= 0
        lacking = np.flatnonzero(~stored)
        _, first = np.unique(np.asarray(digests)[lacking], return_index=True)
        return lacking[np.sort(first)]

    def append(self, digests: Sequence[str], layers: Mapping[str, Codes]) -> None:
        """Write one shard: the codes (rows, d) of these images at each layer."""
        folder = self.folder / uuid.uuid4().hex
        described = {}
        with whole_folder(folder) as part:
            np.save(part / "digests.npy", np.asarray(digests, dtype="S64"))
            for number, (layer, values) in enumerate(layers.items()):
                file = f"{number}.npy"
                np.save(part / file, values)
                described[layer] = {"file": file, "crc32": _checksum(part / file)}
            write_json(part / "shard.json", {"layers": described, "digests_crc32": _checksum(part / "digests.npy")})
        if not (self.folder / "space.json").exists():
            write_json(self.folder / "space.json", self.key)
        self._shards.append(_read_shard(folder))
        self._indexed.clear()

    def gather(self, digests: Sequence[str], layer: str) -> Codes:
        """(n, d) codes of images at one layer, in the order of ``digests``.

        Raises
        ------
        KeyError
            When the codes of an image are not here; see :meth:`missing`.
        StorageError
            When another process has dropped them meanwhile.
        """
        shard, row = self._find(digests, layer)
        if len(shard) and shard.min() < 0:
            raise KeyError(digests[int(np.argmin(shard))])
        out: Codes | None = None
        for s in np.unique(shard):
            values = self._opened(self._shards[s], layer)
            here = np.flatnonzero(shard == s)
            if out is None:
                out = np.empty((len(digests), values.shape[1]), values.dtype)
            out[here] = values[row[here]]
        if out is None:
            raise KeyError("no image was asked for")
        return out

    def _opened(self, shard: _Shard, layer: str) -> Codes:
        try:
            return shard.open(layer)
        except FileNotFoundError as error:
            raise StorageError(
                f"cached codes must stay while they are read, but another process has dropped {self.folder} (`graft "
                "cache`, or an extraction beyond the budget); the same command goes on where it was"
            ) from error

    def verify(self, layers: Sequence[str]) -> None:
        """Compare every checksum, and drop the shards that do not hold what was written."""
        for shard in list(self._shards):
            try:
                for layer in layers:
                    if layer in shard.layers:
                        shard.open(layer)
            except (OSError, ValueError):
                self._shards.remove(shard)
                self._drop(shard.folder)
                self._indexed.clear()

    def _read_shards(self) -> list[_Shard]:
        shards = []
        for folder in sorted(self.folder.glob("*/")) if self.folder.exists() else []:
            if folder.name.startswith("."):
                continue  # another process writes here, or was killed while it did
            try:
                shards.append(_read_shard(folder))
            except (OSError, ValueError, KeyError):
                self._drop(folder)
        if shards:
            os.utime(self.folder)  # the budget drops what was unused for longest
        return shards

    def _drop(self, shard: Path) -> None:
        """Drop a shard, so that its images are computed again; one that another process dropped was not damaged."""
        self.damaged += shard.exists()
        shutil.rmtree(shard, ignore_errors=True)

    def _find(self, digests: Sequence[str], layer: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Shard (-1: none) and row of each image's codes at a layer."""
        if layer not in self._indexed:
            self._indexed[layer] = _index(self._shards, layer)
        index = self._indexed[layer]
        requested = np.asarray(digests, dtype="S64")
        if not len(index.digests):
            return np.full(len(requested), -1), np.zeros(len(requested), int)
        at = np.searchsorted(index.digests, requested, side="right") - 1
        stored = (at >= 0) & (index.digests[at] == requested)
        return np.where(stored, index.shard[at], -1), index.row[at]


@dataclasses.dataclass(frozen=True, eq=False)
class _Index:
    """Where the codes of every image at one layer are, sorted by digest."""

    digests: NDArray[np.bytes_]
    shard: NDArray[np.intp]
    row: NDArray[np.intp]


def _index(shards: Sequence[_Shard], layer: str) -> _Index:
    numbers = [number for number, shard in enumerate(shards) if layer in shard.layers]
    if not numbers:
        return _Index(np.zeros(0, "S64"), np.zeros(0, np.intp), np.zeros(0, np.intp))
    digests = np.concatenate([shards[number].digests for number in numbers])
    shard = np.repeat(numbers, [len(shards[number].digests) for number in numbers])
    row = np.concatenate([np.arange(len(shards[number].digests)) for number in numbers])
    order = np.argsort(digests, kind="stable")
    return _Index(digests[order], shard[order], row[order])


class Store:
    """All spaces in one folder, within a budget of disk."""

    def __init__(self, folder: Path | None = None, budget_mb: float | None = None) -> None:
        self.folder = folder if folder is not None else cache_folder("codes")
        self.budget_mb = _budget_mb() if budget_mb is None else budget_mb
        self.damaged = 0
        """Shards that extractions dropped since they did not hold what was written."""
        self._opened: set[Path] = set()

    def space(self, key: Mapping[str, Any]) -> Space:
        """Open the space of a key, or a new one."""
        space = Space(self.folder / digest_of(dict(key)), key)
        self._opened.add(space.folder)
        return space

    def enforce_budget(self) -> list[Path]:
        """Drop the spaces unused for longest until the rest is within the budget; what was opened here stays."""
        spaces = [p for p in self.folder.glob("*/") if not p.name.startswith(".")] if self.folder.exists() else []
        sizes = {p: size_mb(p) for p in spaces}
        total = sum(sizes.values())
        dropped = []
        for path in sorted(spaces, key=_last_used):
            if total <= self.budget_mb:
                break
            if path in self._opened:
                continue
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes[path]
            dropped.append(path)
        return dropped


def _budget_mb() -> float:
    text = os.environ.get(BUDGET_VARIABLE, str(BUDGET_MB))
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(
            f"${BUDGET_VARIABLE} must be a number of megabytes, got {text!r}; set it to {BUDGET_MB:.0f}, say"
        ) from error


def _last_used(space: Path) -> float:
    try:
        return space.stat().st_mtime
    except OSError:  # another process dropped it
        return 0.0


def _read_shard(folder: Path) -> _Shard:
    described = json.loads((folder / "shard.json").read_text(encoding="utf-8"))
    if _checksum(folder / "digests.npy") != described["digests_crc32"]:
        raise ValueError(f"{folder / 'digests.npy'} has another checksum than when it was written")
    return _Shard(folder, np.load(folder / "digests.npy", allow_pickle=False), described["layers"])


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            value = zlib.crc32(block, value)
    return value
