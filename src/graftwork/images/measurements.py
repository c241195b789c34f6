"""One look at every image: decoded once, small, and measured; kept on disk by the image's digest.

This file measures; ``near_duplicates``, ``groups`` and ``check`` judge what was measured and open no image.
"""

from __future__ import annotations

import dataclasses
import functools
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.errors import DataError
from graftwork.files import cache_folder, whole_file
from graftwork.images.imageset import ImageSet, Progress, in_threads
from graftwork.images.pixels import as_bytes, bits, intensity_tails, load, narrowed, on_white, open_image, upright

THUMB_PX = 64
NARROWED = ";16"
"""Ends the mode of an image of 16 bits a channel of which 8 are read."""
_DRAFT_PX = 256  # a JPEG is decoded at this size or more: the look needs no more
_SHARPNESS_PX = 128
_SHARD = 2000
_VERSION = "v2"

_SPANS = ((0.0, 1.0), (0.0, 0.95), (0.025, 0.975), (0.05, 1.0), (0.0, 0.9), (0.05, 0.95), (0.1, 1.0))
WINDOWS = np.array(
    [(y, x) for same_size in (_SPANS[:1], _SPANS[1:4], _SPANS[4:]) for y in same_size for x in same_size]
)
"""(19, 2, 2) parts of an image, each hashed, so that a crop of it meets the hash of the part it is: top and bottom,
left and right, as fractions. The first is the whole."""
_WINDOW_SPANS = np.array([[_SPANS.index(tuple(span)) for span in window] for window in WINDOWS.tolist()])

_FACTS = np.dtype(
    [
        ("digest", "S64"),
        ("width", np.int32),  # as seen, after turning
        ("height", np.int32),
        ("bytes", np.int64),
        ("format", "U8"),
        ("mode", "U8"),
        ("frames", np.int32),
        ("bits", np.int16),
        ("turned", np.bool_),
        ("low", np.float32),
        ("high", np.float32),
        ("colour", np.float32, (3,)),
        ("sharpness", np.float32),
        ("hashes", np.uint8, (len(WINDOWS), 8)),
        ("pixels16", np.uint8, (16, 16, 3)),
        ("error", "U160"),
    ]
)


class Thumbnails:
    """(n, 64, 64, 3) RGB thumbnails that stay on disk until asked for, and are let go of afterwards."""

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
    """What one look at each of n images found; where ``error`` is not empty, the rest of the row is zero."""

    width: NDArray[np.int32]
    """(n,) pixels, as seen (after turning)."""
    height: NDArray[np.int32]
    bytes: NDArray[np.int64]
    """(n,) size of the file."""
    format: NDArray[np.str_]
    """(n,) as Pillow names it: JPEG, PNG, ..."""
    mode: NDArray[np.str_]
    """(n,) as Pillow names it: RGB, L, P, RGBA, CMYK, I;16, ...; ``RGB;16`` where it keeps 8 of 16 bits."""
    frames: NDArray[np.int32]
    """(n,) frames or pages."""
    bits: NDArray[np.int16]
    """(n,) bits a channel."""
    turned: NDArray[np.bool_]
    """(n,) an EXIF note tells to turn the image."""
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    """(n,) darkest and brightest value (a few outliers aside) of an image of more than 8 bits."""
    colour: NDArray[np.float32]
    """(n, 3) mean RGB, 0 to 255."""
    sharpness: NDArray[np.float32]
    """(n,) standard deviation of the Laplacian at 128 px."""
    hashes: NDArray[np.uint8]
    """(n, len(WINDOWS), 8) perceptual hashes, 64 bits each."""
    pixels16: NDArray[np.uint8]
    """(n, 16, 16, 3) RGB."""
    error: NDArray[np.str_]
    """(n,) why an image is unreadable; empty where it is not."""
    thumbnails: Thumbnails

    def __len__(self) -> int:
        return len(self.width)

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(n,) images that can be decoded."""
        return np.asarray(self.error == "", np.bool_)

    def take(self, indices: NDArray[np.integer] | Sequence[int]) -> Measurements:
        """The looks at ``indices``, in that order."""
        index = np.asarray(indices, np.int64)
        fields = [field.name for field in dataclasses.fields(self) if field.name != "thumbnails"]
        return Measurements(
            **{name: getattr(self, name)[index] for name in fields}, thumbnails=self.thumbnails.take(index)
        )


def joined(one: Measurements, other: Measurements) -> Measurements:
    """The looks at one set of images, then those at another."""
    fields = [field.name for field in dataclasses.fields(one) if field.name != "thumbnails"]
    return Measurements(
        **{name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in fields},
        thumbnails=one.thumbnails.followed_by(other.thumbnails),
    )


def measure_images(
    images: ImageSet, folder: Path | None = None, progress: Progress | None = None, threads: int = 2
) -> Measurements:
    """Look at every image, once in its life.

    Parameters
    ----------
    folder
        Where looks are kept; the place for kept work unless told. Memory stays bounded for any number of images.
    progress
        Told after each image that had to be opened.

    Raises
    ------
    StorageError
        When ``folder`` cannot be written to.
    """
    kept = _MeasurementCache((folder or cache_folder("looks")) / _VERSION)
    wanted, first = np.unique(images.digests.astype("S64"), return_index=True)
    new = np.sort(first[~np.isin(wanted, kept.digests())])
    for start in range(0, len(new), _SHARD):
        kept.add(_measured(images, new[start : start + _SHARD], threads, progress, (start, len(new))))
    return kept.measurements(images.digests.astype("S64"))


def cached_measurements(digests: Sequence[str], folder: Path | None = None) -> Measurements | None:
    """The looks at images that were looked at before, in that order; None where one of them is no longer kept."""
    kept = _MeasurementCache((folder or cache_folder("looks")) / _VERSION)
    wanted = np.asarray(digests, "S64")
    return kept.measurements(wanted) if np.isin(wanted, kept.digests()).all() else None


def intensity_range(measurements: Measurements) -> tuple[float, float] | None:
    """The one range of a data set's images of more than 8 bits; None where there are none.

    A percentile over the images, so that no single image stretches the range; to be taken from develop images.
    """
    deep = measurements.readable & (measurements.bits > 8)
    if not deep.any():
        return None
    low, high = np.percentile(measurements.low[deep], 2), np.percentile(measurements.high[deep], 98)
    return float(low), float(max(high, low + 1e-6))


def layout(pixels16: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(m, 768) what stands where in (m, 16, 16, 3) pixels: less their mean, of length 1."""
    small = pixels16.reshape(len(pixels16), -1).astype(np.float32)
    small -= small.mean(axis=1, keepdims=True)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1.0)
    return small


def light(measurements: Measurements, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, <= 12) how images are lit, coloured and focused, less what their class explains, without correlation."""
    spread = np.sort(measurements.pixels16.reshape(len(measurements), 256, 3), axis=1)[:, [12, 64, 128, 192, 243]]
    facts = np.concatenate([spread.reshape(len(measurements), -1), np.log1p(measurements.sharpness)[:, None]], axis=1)
    _, label = np.unique(labels, return_inverse=True)
    mean = np.stack([np.bincount(label, column) for column in facts.T], axis=1) / np.bincount(label)[:, None]
    facts -= mean[label]
    facts /= np.maximum(facts.std(axis=0), 1e-6)
    values, axes = np.linalg.eigh(facts.T @ facts / len(facts))
    kept = values > max(values[-1] * 1e-3, 1e-9)
    return np.asarray((facts @ axes[:, kept] / np.sqrt(values[kept]))[:, -12:], np.float32)


def phash_windows(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(len(WINDOWS), 8) perceptual hashes of a (64, 64) grey image and of parts of it.

    The whole's is ``imagehash.phash``. A part's is the same hash (32 by 32 px, the 64 lowest frequencies against their
    median); as resizing and cosine transform are both linear, all parts together are two matrix products, where
    one call for each would take longer than decoding the photo.
    """
    import imagehash

    operator = _windows_operator()
    frequencies = (operator @ grey.astype(np.float64) @ operator.T).reshape(len(_SPANS), 8, len(_SPANS), 8)
    blocks = frequencies[_WINDOW_SPANS[:, 0], :, _WINDOW_SPANS[:, 1]].reshape(-1, 64)
    hashes = np.packbits(blocks > np.median(blocks, axis=1, keepdims=True), axis=1)
    hashes[0] = np.packbits(imagehash.phash(Image.fromarray(grey)).hash)
    return hashes


@functools.cache
def _windows_operator() -> NDArray[np.float64]:
    """(spans * 8, 64): for each span of a side, its 8 lowest frequencies as weights on the 64 pixels."""
    from scipy.fft import dct

    identity = Image.fromarray(np.eye(THUMB_PX, dtype=np.float32))
    rows = []
    for begin, end in _SPANS:
        box = (begin * THUMB_PX, 0, end * THUMB_PX, THUMB_PX)
        shrunk = np.asarray(identity.resize((32, THUMB_PX), Image.Resampling.LANCZOS, box=box))
        rows.append(dct(shrunk.T.astype(np.float64), axis=0)[:8])
    return np.concatenate(rows)


def _measured(
    images: ImageSet, indices: NDArray[np.int64], threads: int, progress: Progress | None, done: tuple[int, int]
) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    facts = np.zeros(len(indices), _FACTS)
    thumbs = np.zeros((len(indices), THUMB_PX, THUMB_PX, 3), np.uint8)
    facts["digest"] = images.digests[indices]

    def look(position: int) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
        index = int(indices[position])
        try:
            return measure_image(images.read(index), images.names[index])
        except DataError as error:
            return {"error": str(error).removeprefix(f"{images.names[index]} ")[:160]}, None

    for position, (found, thumb) in enumerate(in_threads(look, range(len(indices)), threads)):
        for name, value in found.items():
            facts[name][position] = value
        if thumb is not None:
            thumbs[position] = thumb
        if progress is not None:
            progress(done[0] + position + 1, done[1])
    return facts, thumbs


def measure_image(data: bytes, name: str) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The facts about one image, and its (64, 64, 3) thumbnail.

    Raises
    ------
    DataError
        When the image is unreadable or cut off.
    """
    image = open_image(data, name)
    mode = f"{image.mode}{NARROWED}" if narrowed(image) else image.mode
    found: dict[str, Any] = {"bytes": len(data), "format": image.format or "", "mode": mode, "bits": bits(image)}
    found["frames"] = _frames(image)
    stored = image.size
    image.draft(None, (_DRAFT_PX, _DRAFT_PX))
    load(image, name)
    seen = upright(image)
    found["turned"] = seen is not image
    swapped = (image.width > image.height) != (seen.width > seen.height)
    found["width"], found["height"] = stored[::-1] if swapped else stored
    if found["bits"] > 8:
        found["low"], found["high"] = limits = intensity_tails(seen)
        seen = as_bytes(seen, limits)
    else:
        seen = on_white(seen)
    grey = seen.convert("L").resize((_SHARPNESS_PX, _SHARPNESS_PX), Image.Resampling.BICUBIC, reducing_gap=2.0)
    found["sharpness"] = _sharpness(np.asarray(grey, np.float32))
    thumb = np.array(
        seen.convert("RGB").resize((THUMB_PX, THUMB_PX), Image.Resampling.BICUBIC, reducing_gap=3.0), np.uint8
    )
    found["colour"] = thumb.mean(axis=(0, 1))
    found["pixels16"] = np.rint(thumb.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3)))
    found["hashes"] = phash_windows(np.asarray(Image.fromarray(thumb).convert("L")))
    return found, thumb


def _frames(image: Image.Image) -> int:
    """Frames or pages; counting must not fail where the first frame can be read."""
    try:
        return int(getattr(image, "n_frames", 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError):
        return 1


def _sharpness(grey: NDArray[np.float32]) -> float:
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.std())


class _MeasurementCache:
    """Looks on disk: pairs of files, each written whole, the small facts and the thumbnails of some images."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._facts: list[NDArray[np.void]] = []
        self._thumbs: list[Path] = []
        for path in sorted(folder.glob("*.facts.npy")):
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            facts = np.load(path, mmap_mode="r", allow_pickle=False)
            pictures = path.with_name(path.name.replace(".facts.", ".thumbs."))
            n_pictures = len(np.load(pictures, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError):
            return  # half a pair, or damaged: looked at again
        if facts.dtype == _FACTS and len(facts) == n_pictures:
            self._facts.append(facts)
            self._thumbs.append(pictures)

    def digests(self) -> NDArray[np.bytes_]:
        """Digests of all images that were looked at."""
        return np.concatenate([np.zeros(0, "S64"), *(facts["digest"] for facts in self._facts)])

    def add(self, shard: tuple[NDArray[np.void], NDArray[np.uint8]]) -> None:
        """Keep one more pair."""
        name = uuid.uuid4().hex
        for kind, values in (("thumbs", shard[1]), ("facts", shard[0])):  # the facts last: they make the pair count
            with whole_file(self._folder / f"{name}.{kind}.npy") as part, part.open("wb") as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
        self._open(self._folder / f"{name}.facts.npy")

    def measurements(self, digests: NDArray[np.bytes_]) -> Measurements:
        """The looks at images with these digests, in that order."""
        sizes = [len(facts) for facts in self._facts]
        shard = np.repeat(np.arange(len(sizes)), sizes)
        row = np.concatenate([np.zeros(0, np.int64), *(np.arange(size) for size in sizes)])
        known = self.digests()
        order = np.argsort(known, kind="stable")
        place = order[np.searchsorted(known, digests, sorter=order)] if len(known) else np.zeros(0, np.int64)
        columns: dict[str, NDArray[Any]] = {
            name: np.empty((len(digests), *_FACTS[name].shape), _FACTS[name].base) for name in _FACTS.names or ()
        }
        for number, facts in enumerate(self._facts):
            here = np.flatnonzero(shard[place] == number)
            for name, values in columns.items():
                values[here] = facts[name][row[place[here]]]
        del columns["digest"]
        return Measurements(**columns, thumbnails=Thumbnails(self._thumbs, shard[place], row[place]))
