"""The pictures on which an exported file is compared with the model: images in many shapes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.images.pixels import decode
from graftwork.ship.onnx_preprocess import SMALL_PX

Picture = NDArray[np.uint8]
"""(h, w, 3) RGB."""

_LONG = 3
"""Longer side in units of the shorter one, of what is cut tall or wide."""
_FINER = 3
_TINY_PX = 20
_LARGE = 3.1
"""Shorter side in units of the network's input: much to shrink, by no whole number."""
_ODD = 0.61
_LONGEST_PX = 4000


def pictures(images: Sequence[bytes], preprocess: Preprocess) -> Iterator[Picture]:
    """Yield each image as it is, and in two of five other shapes in turn: tall, wide, tiny, large and odd."""
    for number, data in enumerate(images):
        image = decode(data, preprocess, f"image {number + 1}")
        shapes = [*_shapes(image, preprocess.input_px)]
        for shape in (image, shapes[number % len(shapes)], shapes[(number + 2) % len(shapes)]):
            yield np.asarray(shape)


def mosaic(images: Sequence[bytes], preprocess: Preprocess) -> bytes:
    """PNG of images side by side, at least three times as large as the network's input.

    Much of it is finer than what the network sees: who resizes it without antialiasing sees something else. It is
    larger than what an exported file resizes by other operations.
    """
    px = preprocess.input_px
    side = max(_FINER, SMALL_PX // px + 1)
    whole = Image.new("RGB", (side * px, side * px))
    for number in range(side**2):
        image = decode(images[number % len(images)], preprocess, f"sample {number}")
        whole.paste(image.resize((px, px), Image.Resampling.BICUBIC), (number % side * px, number // side * px))
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
