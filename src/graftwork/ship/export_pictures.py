"""The pictures on which an exported file is compared with the model: samples and images of the run, in many shapes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.core.options import DataOptions
from graftwork.core.record import Run
from graftwork.errors import DataError, GraftError
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import decode
from graftwork.images.read import read_images
from graftwork.runfolder import RUN, read_run

Picture = NDArray[np.uint8]
"""(h, w, 3) RGB."""

IMAGES = 32
"""Maximum number of images of the run, spread over all of them."""
_LONG = 3
"""Longer side in units of the shorter one, of what is cut tall or wide."""
_TINY_PX = 20
_LARGE = 3.1
"""Shorter side in units of the network's input: much to shrink, by no whole number."""
_ODD = 0.61
_LONGEST_PX = 4000


def images_of_run(folder: Path) -> list[bytes]:
    """Return the bytes of some images of a run, as far as they are still where they were; none without a run."""
    if not (folder / RUN).is_file():
        return []
    try:
        run = read_run(folder)
        images = read_images(run.settings["data"], _data_options(run.settings))
    except (GraftError, OSError):
        return []
    place = {name: row for row, name in enumerate(images.names)}
    rows = np.unique(np.linspace(0, len(run.images.names) - 1, IMAGES).round().astype(int))
    chosen = [(place[run.images.names[i]], run.images.digests[i]) for i in rows if run.images.names[i] in place]
    read = (_bytes(images, row, digest) for row, digest in chosen)
    return [data for data in read if data is not None]


def develop_images(run: Run) -> ImageSet:
    """Return the images that a run developed on, in the order of its record.

    Raises
    ------
    DataError
        When they are not where they were, or are others.
    """
    images = read_images(run.settings["data"], _data_options(run.settings))
    place = {name: row for row, name in enumerate(images.names)}
    names = [run.images.names[row] for row in run.develop]
    rows = [place[name] for name in names if name in place]
    develop = images.take(rows)
    equal = [run.images.digests[row] for row in run.develop] == [str(digest) for digest in develop.digests]
    if len(rows) < len(names) or not equal:
        raise DataError(
            f"{run.settings['data']} must hold the {len(names)} images that the run was developed on, since 8 bits are "
            "calibrated on them, but some are missing or others now; put them back"
        )
    return develop


def pictures(images: Sequence[bytes], preprocess: Preprocess) -> Iterator[Picture]:
    """Yield each image as it is, and in two of five other shapes in turn: tall, wide, tiny, large and odd."""
    for number, data in enumerate(images):
        image = decode(data, preprocess, f"image {number + 1}")
        shapes = [*_shapes(image, preprocess.input_px)]
        for shape in (image, shapes[number % len(shapes)], shapes[(number + 2) % len(shapes)]):
            yield np.asarray(shape)


def mosaic(images: Sequence[bytes], preprocess: Preprocess) -> bytes:
    """PNG of nine images side by side, three times as large as the network's input.

    Much of it is finer than what the network sees: who resizes it without antialiasing sees something else.
    """
    px = preprocess.input_px
    whole = Image.new("RGB", (3 * px, 3 * px))
    for number in range(9):
        image = decode(images[number % len(images)], preprocess, f"sample {number}")
        whole.paste(image.resize((px, px), Image.Resampling.BICUBIC), (number % 3 * px, number // 3 * px))
    out = io.BytesIO()
    whole.save(out, "PNG", optimize=True)
    return out.getvalue()


def _shapes(image: Image.Image, px: int) -> Iterator[Image.Image]:
    width, height = image.size
    yield _centre(image, max(1, min(width, height // _LONG)), height)
    yield _centre(image, width, max(1, min(height, width // _LONG)))
    for side in (_TINY_PX, _LARGE * px, _ODD * min(width, height)):
        scale = min(side / min(width, height), _LONGEST_PX / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        yield image.resize(size, Image.Resampling.BICUBIC)


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _bytes(images: Any, row: int, digest: str) -> bytes | None:
    """The bytes of an image, if it is still the one of the run."""
    try:
        data: bytes = images.read(row)
    except GraftError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def _data_options(settings: Mapping[str, Any]) -> DataOptions:
    return DataOptions(**{name: settings.get(name) for name in ("image_column", "label_column", "label_level")})
