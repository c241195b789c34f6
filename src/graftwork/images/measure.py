"""Every image is decoded once, small, and measured; the measurements are cached by the image's digest."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.core.arrays import Ints
from graftwork.errors import DataError
from graftwork.images.decoding import prefetched
from graftwork.images.header import open_image
from graftwork.images.imageset import ImageSet
from graftwork.images.measurements import FACTS, NARROWED, SPANS, THUMB_PX, WINDOWS, MeasurementCache, Measurements
from graftwork.images.pillow import caught_warnings
from graftwork.images.pixels import as_bytes, intensities, intensity_tails, load, on_white, upright, wholly_transparent
from graftwork.listener import SILENT, Listener

_DRAFT_PX = 256  # a JPEG is decoded at this size or more: no measurement needs more
_SHARPNESS_PX = 128
_SHARD = 2000
_WINDOW_SPANS = np.array([[SPANS.index(tuple(span)) for span in window] for window in WINDOWS.tolist()])


def measure_images(
    images: ImageSet, folder: Path | None = None, *, listener: Listener = SILENT, threads: int = 2
) -> Measurements:
    """Measure every image, once in its life; memory stays bounded for any number of images.

    One that could not be decoded is tried again each time: the reason may have been a disk, or a decoder that is newer
    or there by now.

    Parameters
    ----------
    folder
        Of the cache; that of this machine unless given.
    listener
        Hears the number of images done, after each image that had to be opened.

    Raises
    ------
    StorageError
        When ``folder`` cannot be written to.
    """
    cache = MeasurementCache.open(folder)
    digests, first = np.unique(images.digests.astype("S64"), return_index=True)
    known = np.isin(digests, cache.digests())
    new = np.sort(first[~known])
    again = np.sort(first[known & np.isin(digests, cache.unreadable())])
    every = len(new) + len(again)
    for start in range(0, len(new), _SHARD):
        cache.add(_measured(images, new[start : start + _SHARD], threads, listener, (start, every)))
    facts, thumbs = _measured(images, again, threads, listener, (len(new), every))
    readable = facts["error"] == ""
    if readable.any():
        cache.add((facts[readable], thumbs[readable]))
    return cache.measurements(images.digests.astype("S64"))


def phash_windows(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(len(WINDOWS), 8) perceptual hashes of a (64, 64) grey image and of parts of it.

    The whole's is ``imagehash.phash``. A part's is the same hash (32 by 32 px, the 64 lowest frequencies against their
    median); as resizing and cosine transform are both linear, all parts together are two matrix products, where
    one call for each would take longer than decoding the photo.
    """
    import imagehash

    operator = _windows_operator()
    frequencies = (operator @ grey.astype(np.float64) @ operator.T).reshape(len(SPANS), 8, len(SPANS), 8)
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
    for begin, end in SPANS:
        box = (begin * THUMB_PX, 0, end * THUMB_PX, THUMB_PX)
        shrunk = np.asarray(identity.resize((32, THUMB_PX), Image.Resampling.LANCZOS, box=box))
        rows.append(dct(shrunk.T.astype(np.float64), axis=0)[:8])
    return np.concatenate(rows)


def _measured(
    images: ImageSet, indices: Ints, threads: int, listener: Listener, done: tuple[int, int]
) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    facts = np.zeros(len(indices), FACTS)
    thumbs = np.zeros((len(indices), THUMB_PX, THUMB_PX, 3), np.uint8)
    facts["digest"] = images.digests[indices]

    def measure(index: int) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
        try:
            return measure_image(images.read(index), images.names[index])
        except DataError as error:
            return {"error": str(error).removeprefix(f"{images.names[index]} ")[:160]}, None

    measured = prefetched(measure, map(int, indices), threads=threads, ahead=64)
    for position, (values, thumb) in enumerate(measured):
        for name, value in values.items():
            facts[name][position] = value
        if thumb is not None:
            thumbs[position] = thumb
        listener.progress(done[0] + position + 1, done[1])
    return facts, thumbs


def measure_image(data: bytes, name: str) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The facts about one image, and its (64, 64, 3) thumbnail.

    Raises
    ------
    DataError
        When the image is unreadable or cut off.
    """
    with caught_warnings() as warned:
        image, samples = open_image(data, name)
        mode = f"{image.mode}{NARROWED}" if samples.narrowed else image.mode
        values: dict[str, Any] = {"bytes": len(data), "format": image.format or "", "mode": mode}
        values |= {"bits": samples.bits, "frames": _frames(image)}
        values |= {"bands": samples.bands, "decoded_bands": len(image.getbands())}
        size = image.size
        image.draft(None, (_DRAFT_PX, _DRAFT_PX))
        load(image, name)
        displayed = upright(image)
        values["turned"] = displayed is not image
        swapped = (image.width > image.height) != (displayed.width > displayed.height)
        values["width"], values["height"] = size[::-1] if swapped else size
        if samples.bits > 8:
            intensity = intensities(displayed, samples)
            values["low"], values["high"] = limits = intensity_tails(intensity)
            values["no_data"] = np.isnan(intensity).any()
            displayed = as_bytes(intensity, limits)
        else:
            values["transparent"] = wholly_transparent(displayed)
            displayed = on_white(displayed)
    values["warning"] = warned[0] if warned else ""
    grey = displayed.convert("L").resize((_SHARPNESS_PX, _SHARPNESS_PX), Image.Resampling.BICUBIC, reducing_gap=2.0)
    values["sharpness"] = _sharpness(np.asarray(grey, np.float32))
    thumb = np.array(
        displayed.convert("RGB").resize((THUMB_PX, THUMB_PX), Image.Resampling.BICUBIC, reducing_gap=3.0), np.uint8
    )
    values["colour"] = thumb.mean(axis=(0, 1))
    values["pixels16"] = np.rint(thumb.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3)))
    values["hashes"] = phash_windows(np.asarray(Image.fromarray(thumb).convert("L")))
    return values, thumb


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
