"""What a picture may be: a path, the bytes of a file, an image of PIL or an array; each becomes the bytes of a file."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graftwork.errors import DataError, UsageError
from graftwork.images.folders import printable
from graftwork.images.header import BROKEN
from graftwork.images.memory import DEEP_TYPES
from graftwork.images.pillow import caught_warnings
from graftwork.images.pixels import upright

if TYPE_CHECKING:
    from PIL import Image

    Picture = str | Path | bytes | Image.Image | NDArray[np.uint8]

_COLOURS = 3
_MOST_CHANNELS = 4
_TIFF_MODES = {"La": "LA", "RGBa": "RGBA", "HSV": "RGB"}
"""What a TIFF can hold in place of modes that it cannot."""
_OPAQUE = ("1", "L", "P", "RGB")
"""Modes whose transparency, where there is any, a TIFF does not hold."""


def pictures_of(images: Any) -> Any:
    """Return pictures as they are, and one picture (a path, bytes, of PIL, an array (h, w) or (h, w, 3)) in a list.

    Raises
    ------
    UsageError
        When they are neither, or an array whose channels come first: its rows would be taken for pictures.
    """
    if isinstance(images, (str, Path, bytes, bytearray, memoryview)) or hasattr(images, "getexif"):
        return [images]
    if hasattr(images, "__array__"):  # of NumPy, PyTorch and others
        images = np.asarray(images)
        if images.dtype.kind not in "OUST":  # of numbers, and not of paths
            if images.ndim == 2 or (images.ndim == 3 and images.shape[-1] <= _MOST_CHANNELS):
                return [images]
            if images.ndim == 3 and images.shape[0] == _COLOURS:
                raise UsageError(
                    f"an image must be an array (height, width, channels), but is {images.shape}; move its "
                    "channels to the end, or give several of one channel in a list"
                )
    if hasattr(images, "read") or not isinstance(images, Iterable):
        raise UsageError(
            f"images must be paths, bytes, pictures of PIL or arrays, but are {type(images).__name__}; of an open file "
            "give what `.read()` returns"
        )
    return images


def name_of(image: Picture, number: int) -> str:
    """Return a path, or which of the pictures it is, counted from 0: for messages."""
    return printable(str(image)) if isinstance(image, (str, Path)) else f"image {number + 1}"


def bytes_of(image: Picture, name: str) -> bytes:
    """Return the bytes of an image file, or of a picture in memory written without loss: one path decodes all.

    Raises
    ------
    DataError
        When a file cannot be read, or a picture cannot be encoded.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, (str, Path)):
        try:
            return Path(image).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a path with a null byte in it
            why = getattr(error, "strerror", None) or error
            raise DataError(f"{name} must be a readable image, but: {why}; correct the path") from error
    return _encoded(image, name)


def _encoded(image: Any, name: str) -> bytes:
    from PIL import Image

    try:
        with caught_warnings():
            if not hasattr(image, "getexif"):
                image = Image.fromarray(_checked(np.asarray(image), name))
            image.load()
            image = upright(image)
            mode = (
                "RGBA"
                if image.mode in _OPAQUE and image.has_transparency_data
                else _TIFF_MODES.get(image.mode, image.mode)
            )
            image = image.convert(mode)
            image.info = {}  # neither the compression nor the metadata of its file is written again
            out = io.BytesIO()
            image.save(out, "TIFF")
    except BROKEN as error:
        raise DataError(f"{name} must be a picture that can be encoded, but: {error}; convert it to RGB") from error
    return out.getvalue()


def _checked(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[:, :, 0]
    deep = array.ndim == 2 and array.dtype.name in DEEP_TYPES
    if not deep and (array.dtype != np.uint8 or array.ndim not in (2, 3)):
        raise DataError(
            f"{name} must be a uint8 array (h, w, 3), but is {array.dtype} {array.shape}; scale to 0..255 and convert"
        )
    return array
