"""Which bytes are accepted as an image: judged by the header, before anything is decoded."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.errors import DataError
from graftwork.images.header import open_image
from graftwork.images.pillow import caught_warnings
from graftwork.model.predict import Model
from graftwork.serving.refusal import Refusal

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000")
"""Of Pillow, as it opens them (MPO is opened as JPEG). Others are refused unread: some start programs, some are read
byte by byte, some unpack what no header tells the size of."""
WORDS = "JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP, PPM or JPEG 2000"


def decoded(model: Model, data: bytes, name: str, max_megapixels: float) -> NDArray[np.uint8]:
    """(views, px, px, 3) input of the model's network.

    Raises
    ------
    Refusal
        415 for what is no image of one of ``FORMATS``, 413 for one of too many pixels, 422 for one that is broken, cut
        off or of a kind that the model was not trained on.
    """
    with caught_warnings():
        try:
            image, _ = open_image(data, name, _formats())
        except DataError as error:
            if isinstance(error.__cause__, Image.DecompressionBombError):
                raise Refusal(413, str(error)) from error
            raise Refusal(415, f"{error}; send {WORDS}") from error
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise Refusal(
            413,
            f"{name} must have at most {max_megapixels:g} megapixels, but its header says {image.width} x "
            f"{image.height}, which are {megapixels:,.1f}; send it smaller",
        )
    try:
        return model.decode(data, name)
    except DataError as error:
        raise Refusal(422, str(error)) from error


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those that this Pillow was built with: it fails at one that it does not know, whatever the file holds."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)
