"""Images decoded once and cached on disk, a little larger than a network's input: what training reads in each epoch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.files import whole_folder
from graftwork.images.decoding import prefetched
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import prepared, seen, shrunk
from graftwork.images.views import View
from graftwork.listener import SILENT, Listener

TIMES = 2.0
"""Shorter side of a cached image, as a multiple of the network's input: the smallest view that training draws has half
of it, so that no view is enlarged. Resized twice, a view at 96 px differs by 0.3 to 1.0 grey levels on the mean of four
data sets from what the file gives (medians 0.3 to 0.4; 95 % of the views by less than 0.4 to 6)."""
_FORECAST_AT = 64
"""Number of images after which it is known how much space all of them will take."""
_PLAIN, _LARGER, _SHAPES = "plain.npy", "larger.bin", "shapes.npy"


@dataclasses.dataclass(frozen=True, eq=False)
class CachedImages:
    """Decoded images in memory-mapped files: the system holds in memory what fits, so that no limit is needed."""

    plain: NDArray[np.uint8]
    """(n, px, px, 3) each image as the network sees it in use: the very pixels that its file gives."""
    larger: NDArray[np.uint8]
    """All images behind each other, each ``TIMES`` as large as the input, unless its file is smaller."""
    shapes: NDArray[np.int64]
    """(n, 3) height, width and number of channels of each."""
    ends: NDArray[np.int64]
    """(n,) where each ends in ``larger``."""
    preprocess: Preprocess

    def pixels(self, image: int, view: View | None) -> NDArray[np.uint8]:
        """(px, px, 3) RGB of an image, the whole of it (to the bit as from its file) or a view."""
        if view is None:
            plain: NDArray[np.uint8] = self.plain[image]
            return plain
        height, width, channels = self.shapes[image].tolist()
        end = int(self.ends[image])
        values = self.larger[end - height * width * channels : end].reshape(height, width, channels)
        picture = Image.fromarray(values[..., 0] if channels == 1 else values)
        return prepared(picture, self.preprocess, view)


def cached_images(
    images: ImageSet, preprocess: Preprocess, folder: Path, *, budget_mb: float, listener: Listener = SILENT
) -> CachedImages | None:
    """Return images decoded once, from ``folder`` where they are there already.

    None where they would take more than the budget: a folder that says so is left in their place.

    Raises
    ------
    DataError
        When an image cannot be read.
    StorageError
        When the folder cannot be written.
    """
    if not (folder / _SHAPES).is_file():
        with whole_folder(folder) as part:
            shapes = _write(images, preprocess, part, budget_mb, listener)
            np.save(part / _SHAPES, shapes)
    shapes = np.load(folder / _SHAPES)
    if not len(shapes):
        return None
    plain = np.load(folder / _PLAIN, mmap_mode="r")
    larger = np.memmap(folder / _LARGER, np.uint8, mode="r")
    return CachedImages(plain, larger, shapes, np.cumsum(shapes.prod(axis=1)), preprocess)


def _write(
    images: ImageSet, preprocess: Preprocess, folder: Path, budget_mb: float, listener: Listener
) -> NDArray[np.int64]:
    """Write all images and return (n, 3) their shapes; (0, 3), and no file, where they would take too much."""
    px = preprocess.input_px
    shapes: list[tuple[int, ...]] = []
    written = 0
    with (folder / _LARGER).open("wb") as file:
        plain = np.lib.format.open_memmap(folder / _PLAIN, "w+", np.uint8, (len(images), px, px, 3))
        for number, (as_used, larger) in enumerate(_decoded(images, preprocess), 1):
            plain[number - 1] = as_used
            file.write(larger.tobytes())
            shapes.append(larger.shape)
            written += as_used.nbytes + larger.nbytes
            listener.progress(number, len(images))
            total_mb = written / number * len(images) / 1e6
            if number >= min(_FORECAST_AT, len(images)) and total_mb > budget_mb:
                listener.say(
                    f"decoded images would take {total_mb:,.1f} MB, more than the cache may hold "
                    "($GRAFTWORK_CACHE_MB); every epoch decodes them again"
                )
                shapes = []
                break
        del plain  # written
    if not shapes:
        (folder / _PLAIN).unlink()
        (folder / _LARGER).unlink()
    return np.array(shapes, np.int64).reshape(-1, 3)


def _decoded(images: ImageSet, preprocess: Preprocess) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield of each image what the network sees in use, and (h, w, 1 or 3) of it as large as views need."""
    shorter = math.ceil(TIMES * preprocess.input_px)

    def decode(image: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        picture = seen(images.read(image), preprocess, images.names[image])
        larger = np.asarray(shrunk(picture, preprocess, shorter))
        return prepared(picture, preprocess), larger.reshape(*larger.shape[:2], -1)

    return prefetched(decode, range(len(images)))
