"""What was measured on images: the record, its cache on disk, and what is computed from it.

``measure`` measures; ``near_duplicates``, ``groups``, ``series`` and ``check`` judge what was measured and open no
image.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Ints, Mask
from graftwork.files import cache_folder, whole_file

THUMB_PX = 64
NARROWED = ";16"
"""Ends the mode of an image of 16 bits per channel, of which Pillow decodes 8."""
_VERSION = "v3"

SPANS = ((0.0, 1.0), (0.0, 0.95), (0.025, 0.975), (0.05, 1.0), (0.0, 0.9), (0.05, 0.95), (0.1, 1.0))
WINDOWS = np.array([(y, x) for same_size in (SPANS[:1], SPANS[1:4], SPANS[4:]) for y in same_size for x in same_size])
"""(19, 2, 2) parts of an image, each hashed, so that a crop of it meets the hash of the part it is: top and bottom,
left and right, as fractions. The first is the whole."""

FACTS = np.dtype(
    [
        ("digest", "S64"),
        ("width", np.int32),  # as seen, after turning
        ("height", np.int32),
        ("bytes", np.int64),
        ("format", "U8"),
        ("mode", "U8"),
        ("frames", np.int32),
        ("bits", np.int16),
        ("bands", np.int16),
        ("decoded_bands", np.int16),
        ("turned", np.bool_),
        ("low", np.float32),
        ("high", np.float32),
        ("no_data", np.bool_),
        ("transparent", np.bool_),
        ("colour", np.float32, (3,)),
        ("sharpness", np.float32),
        ("hashes", np.uint8, (len(WINDOWS), 8)),
        ("pixels16", np.uint8, (16, 16, 3)),
        ("warning", "U160"),
        ("error", "U160"),
    ]
)


class Thumbnails:
    """(n, 64, 64, 3) RGB thumbnails that stay on disk until they are used, and leave memory afterwards."""

    def __init__(self, shards: Sequence[Path], shard: NDArray[np.int64], row: NDArray[np.int64]) -> None:
        self._shards, self._shard, self._row = shards, shard, row

    def __len__(self) -> int:
        return len(self._row)

    def __getitem__(self, indices: NDArray[np.integer] | Sequence[int]) -> NDArray[np.uint8]:
        index = np.asarray(indices, np.int64)
        out = np.empty((len(index), THUMB_PX, THUMB_PX, 3), np.uint8)
        for number in np.unique(self._shard[index]):
            here = np.flatnonzero(self._shard[index] == number)
            out[here] = np.load(self._shards[number], mmap_mode="r", allow_pickle=False)[self._row[index[here]]]
        return out

    def followed_by(self, other: Thumbnails) -> Thumbnails:
        """These thumbnails, then the others."""
        shard = np.concatenate([self._shard, other._shard + len(self._shards)])
        return Thumbnails([*self._shards, *other._shards], shard, np.concatenate([self._row, other._row]))

    def take(self, indices: NDArray[np.integer] | Sequence[int]) -> Thumbnails:
        """The thumbnails at ``indices``, still on disk."""
        index = np.asarray(indices, np.int64)
        return Thumbnails(self._shards, self._shard[index], self._row[index])


@dataclasses.dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured on each of n images; where ``error`` is not empty, the rest of the row is zero."""

    width: NDArray[np.int32]
    """(n,) pixels, as seen (after turning)."""
    height: NDArray[np.int32]
    bytes: NDArray[np.int64]
    """(n,) size of the file."""
    format: NDArray[np.str_]
    """(n,) as Pillow names it: JPEG, PNG, ..."""
    mode: NDArray[np.str_]
    """(n,) as Pillow names it: RGB, L, P, RGBA, CMYK, I;16, ...; ``RGB;16`` where it decodes 8 of 16 bits."""
    frames: NDArray[np.int32]
    """(n,) frames or pages."""
    bits: NDArray[np.int16]
    """(n,) bits a channel."""
    bands: NDArray[np.int16]
    decoded_bands: NDArray[np.int16]
    """(n,) bands in the file, and how many of these, the first ones, are decoded."""
    turned: NDArray[np.bool_]
    """(n,) the EXIF orientation turns the image."""
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    """(n,) darkest and brightest value (a few outliers aside) of an image of more than 8 bits; NaN where none of its
    pixels has data."""
    no_data: NDArray[np.bool_]
    """(n,) images of more than 8 bits with pixels without data: NaN, infinite, or a value that stands for none."""
    transparent: NDArray[np.bool_]
    """(n,) images of which no pixel is visible; they are shown without their alpha."""
    colour: NDArray[np.float32]
    """(n, 3) mean RGB, 0 to 255."""
    sharpness: NDArray[np.float32]
    """(n,) standard deviation of the Laplacian at 128 px."""
    hashes: NDArray[np.uint8]
    """(n, len(WINDOWS), 8) perceptual hashes, 64 bits each."""
    pixels16: NDArray[np.uint8]
    """(n, 16, 16, 3) RGB."""
    warning: NDArray[np.str_]
    """(n,) the first thing that Pillow warns of; empty where nothing is."""
    error: NDArray[np.str_]
    """(n,) why an image is unreadable; empty where it is not."""
    thumbnails: Thumbnails

    def __len__(self) -> int:
        return len(self.width)

    @property
    def readable(self) -> Mask:
        """(n,) images that can be decoded."""
        return np.asarray(self.error == "", np.bool_)

    def take(self, indices: NDArray[np.integer] | Sequence[int]) -> Measurements:
        """The measurements at ``indices``, in that order."""
        index = np.asarray(indices, np.int64)
        fields = [field.name for field in dataclasses.fields(self) if field.name != "thumbnails"]
        return Measurements(
            **{name: getattr(self, name)[index] for name in fields}, thumbnails=self.thumbnails.take(index)
        )


def joined(one: Measurements, other: Measurements) -> Measurements:
    """The measurements of one set of images, then those of another."""
    fields = [field.name for field in dataclasses.fields(one) if field.name != "thumbnails"]
    return Measurements(
        **{name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in fields},
        thumbnails=one.thumbnails.followed_by(other.thumbnails),
    )


def cached_measurements(digests: Sequence[str], folder: Path | None = None) -> Measurements | None:
    """The cached measurements of images, in that order; None where those of one image are no longer cached."""
    cache = MeasurementCache.open(folder)
    names = np.asarray(digests, "S64")
    return cache.measurements(names) if np.isin(names, cache.digests()).all() else None


def intensity_range(measurements: Measurements) -> tuple[float, float] | None:
    """The one range of a data set's images of more than 8 bits; None where there are none.

    A percentile over the images, so that no single image stretches the range; to be taken from develop images.
    """
    deep = measurements.readable & (measurements.bits > 8)
    if not deep.any():
        return None
    known = deep & np.isfinite(measurements.low)
    if not known.any():
        return 0.0, 1.0  # no pixel of any image has data: all are black
    low, high = np.percentile(measurements.low[known], 2), np.percentile(measurements.high[known], 98)
    return float(low), float(max(high, low + 1e-6))


def layout(pixels16: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(m, 768) the layout of (m, 16, 16, 3) pixels: less their mean, of length 1."""
    small = pixels16.reshape(len(pixels16), -1).astype(np.float32)
    small -= small.mean(axis=1, keepdims=True)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1.0)
    return small


def light(measurements: Measurements, labels: Ints) -> NDArray[np.float32]:
    """(n, <= 12) light, colour and sharpness of images, less the mean of their class, whitened."""
    spread = np.sort(measurements.pixels16.reshape(len(measurements), 256, 3), axis=1)[:, [12, 64, 128, 192, 243]]
    facts = np.concatenate([spread.reshape(len(measurements), -1), np.log1p(measurements.sharpness)[:, None]], axis=1)
    _, label = np.unique(labels, return_inverse=True)
    mean = np.stack([np.bincount(label, column) for column in facts.T], axis=1) / np.bincount(label)[:, None]
    facts -= mean[label]
    facts /= np.maximum(facts.std(axis=0), 1e-6)
    values, axes = np.linalg.eigh(facts.T @ facts / len(facts))
    strong = values > max(values[-1] * 1e-3, 1e-9)
    return np.asarray((facts @ axes[:, strong] / np.sqrt(values[strong]))[:, -12:], np.float32)


class MeasurementCache:
    """Measurements on disk: pairs of files, each written whole, with the facts and the thumbnails of some images."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._facts: list[NDArray[np.void]] = []
        self._thumbs: list[Path] = []
        for path in sorted(folder.glob("*.facts.npy")):
            self._add_pair(path)

    @classmethod
    def open(cls, folder: Path | None = None) -> MeasurementCache:
        """Open the cache in a folder; that of this machine unless given."""
        return cls((folder or cache_folder("measurements")) / _VERSION)

    def _add_pair(self, path: Path) -> None:
        try:
            facts = np.load(path, mmap_mode="r", allow_pickle=False)
            pictures = path.with_name(path.name.replace(".facts.", ".thumbs."))
            n_pictures = len(np.load(pictures, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError):
            return  # half a pair, or damaged: measured again
        if facts.dtype == FACTS and len(facts) == n_pictures:
            self._facts.append(facts)
            self._thumbs.append(pictures)

    def digests(self) -> NDArray[np.bytes_]:
        """Digests of all images that were measured."""
        return np.concatenate([np.zeros(0, "S64"), *(facts["digest"] for facts in self._facts)])

    def _failed(self) -> NDArray[np.bool_]:
        """Which rows are of images that could not be decoded, in the order of ``digests``."""
        return np.concatenate([np.zeros(0, bool), *(facts["error"] != "" for facts in self._facts)])

    def unreadable(self) -> NDArray[np.bytes_]:
        """Digests of the images that could not be decoded, as far as was seen."""
        known, failed = self.digests(), self._failed()
        return np.setdiff1d(known[failed], known[~failed])

    def add(self, shard: tuple[NDArray[np.void], NDArray[np.uint8]]) -> None:
        """Write one more pair."""
        name = uuid.uuid4().hex
        for kind, values in (("thumbs", shard[1]), ("facts", shard[0])):  # the facts last: they make the pair count
            with whole_file(self._folder / f"{name}.{kind}.npy") as part, part.open("wb") as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
        self._add_pair(self._folder / f"{name}.facts.npy")

    def measurements(self, digests: NDArray[np.bytes_]) -> Measurements:
        """The measurements of the images with these digests, in that order."""
        sizes = [len(facts) for facts in self._facts]
        shard = np.repeat(np.arange(len(sizes)), sizes)
        row = np.concatenate([np.zeros(0, np.int64), *(np.arange(size) for size in sizes)])
        known = self.digests()
        order = np.lexsort((self._failed(), known))  # of two rows of an image the readable one counts
        place = order[np.searchsorted(known, digests, sorter=order)] if len(known) else np.zeros(0, np.int64)
        columns: dict[str, NDArray[Any]] = {
            name: np.empty((len(digests), *FACTS[name].shape), FACTS[name].base) for name in FACTS.names or ()
        }
        for number, facts in enumerate(self._facts):
            here = np.flatnonzero(shard[place] == number)
            for name, values in columns.items():
                values[here] = facts[name][row[place[here]]]
        del columns["digest"]
        return Measurements(**columns, thumbnails=Thumbnails(self._thumbs, shard[place], row[place]))
