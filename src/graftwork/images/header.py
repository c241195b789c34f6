"""What the header of an image file says about its samples, and which kinds of file are refused in one line."""

from __future__ import annotations

import dataclasses
import io
import re
import struct
from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from graftwork.errors import DataError
from graftwork.images.pillow import reads_heic, reuse_memory

BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, ArithmeticError)
"""What Pillow's readers raise on broken files (OSError holds UnidentifiedImageError)."""
NO_DATA = (-9999.0, -32768.0, float(np.finfo(np.float32).min))
"""Values by which geographic programs mark pixels without data where the file does not say which it is; no camera,
scanner or microscope writes them."""

_WIDTH, _BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC = 256, 258, 259, 262  # tags of TIFF
_FILL_ORDER, _SAMPLES_PER_PIXEL, _PLANAR, _SAMPLE_FORMAT, _GDAL_NODATA = 266, 277, 284, 339, 42113
_WHITE_IS_ZERO = 0
_UNSIGNED, _SIGNED = 1, 2
_NUMBERS = {
    _UNSIGNED: "unsigned integers",
    _SIGNED: "signed integers",
    3: "floats",
    5: "complex integers",
    6: "complex numbers",
}
_HEIC = re.compile(rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL)
_SIXTEEN = re.compile(";16[BLN]")
"""In Pillow's name of a pixel format: 16 bits per channel (``BGR;16`` without a letter is 5, 6 and 5 bits)."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """How an image file stores its pixels, as far as Pillow leaves that to us."""

    dtype: np.dtype[Any]
    """Of one band, as it is decoded: ``uint8``, or one of ``uint16``, ``int16``, ``uint32``, ``int32``, ``float32``."""
    bands: int
    """In the file; Pillow decodes the first ones of these (see ``Image.getbands``)."""
    narrowed: bool
    """Pillow keeps the upper 8 of 16 bits a channel, as it does with colours."""
    white_is_zero: bool
    """More than 8 bits that are stored as a negative (8 bits are turned by Pillow)."""
    no_data: tuple[float, ...]
    """Values of pixels without data."""

    @property
    def bits(self) -> int:
        """Bits a channel, as it is decoded."""
        return 8 * self.dtype.itemsize


def open_image(data: bytes, name: str, formats: tuple[str, ...] | None = None) -> tuple[ImageFile.ImageFile, Samples]:
    """The image with its header read and nothing decoded, and how it is stored.

    Parameters
    ----------
    formats
        Those of Pillow that it may be in; any unless given.

    Raises
    ------
    DataError
        When it is no image, is broken, is of a kind that cannot be decoded rightly, or would unpack to more pixels than
        Pillow allows.
    """
    reuse_memory()
    heic = reads_heic()
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
        _correct_single_plane(image)
        samples = _samples(image)
        misread = _misread(image, samples)
    except Image.DecompressionBombError as error:
        raise DataError(f"{name} must not unpack to more pixels than is safe, but: {error}") from error
    except BROKEN as error:
        kind = _kind_of_tiff(data)
        if kind is not None:
            raise DataError(f"{name} must be a TIFF of a kind that can be decoded, but holds {kind}") from error
        if not heic and _HEIC.match(data):
            raise DataError(
                f"{name} must be in another format than HEIC, or `pip install 'graftwork[heic]'` first"
            ) from error
        raise DataError(f"{name} must be an image, but its {len(data)} bytes are none that can be read") from error
    if misread is not None:
        raise DataError(f"{name} must not hold {misread}")
    return image, samples


def _correct_single_plane(image: ImageFile.ImageFile) -> None:
    """Decode the one band of a TIFF that calls it a plane (as some programs write it) as what it is.

    Of planes Pillow knows no sign, no byte order and no "white is zero": 16 bits signed were white everywhere.
    """
    tags = _tags(image)
    if tags.get(_PLANAR, 1) == 1 or tags.get(_SAMPLES_PER_PIXEL, 1) != 1:
        return
    kind = (tags.prefix, tags.get(_PHOTOMETRIC, 0), tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)), tags.get(_FILL_ORDER, 1))
    _, raw_mode = TiffImagePlugin.OPEN_INFO[*kind, tags.get(_BITS_PER_SAMPLE, (1,)), ()]
    image.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:])) if tile.codec_name == "raw" else tile  # type: ignore[index]
        for tile in image.tile
    ]


def _samples(image: ImageFile.ImageFile) -> Samples:
    tags = _tags(image)
    dtype = _dtype(image, tags)
    deep = dtype.itemsize > 1
    return Samples(
        dtype=dtype,
        bands=max(int(tags.get(_SAMPLES_PER_PIXEL, 1)), len(image.getbands())),
        narrowed=not deep and _SIXTEEN.search(str(image.tile[:1])) is not None,
        white_is_zero=deep and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
        no_data=_no_data(dtype, tags) if deep else (),
    )


def _tags(image: Image.Image) -> Any:
    """The tags of a TIFF; nothing for any other format, whatever its EXIF holds."""
    return image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}


def _dtype(image: Image.Image, tags: Any) -> np.dtype[Any]:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return np.dtype(np.uint16)
    if image.mode == "F":
        return np.dtype(np.float32)
    if image.mode != "I":
        return np.dtype(np.uint8)
    unsigned = bool(tags) and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED
    return np.dtype(f"{'u' if unsigned else 'i'}{tags.get(_BITS_PER_SAMPLE, (32,))[0] // 8}")


def _no_data(dtype: np.dtype[Any], tags: Any) -> tuple[float, ...]:
    """Values without data: those that are never measured, and the one that GDAL names in a tag of its own."""
    named = str(tags.get(_GDAL_NODATA, "")).strip("\0 ")
    try:
        with np.errstate(over="ignore"):  # more than 32 bits hold is infinite in the pixels, too
            value = float(np.float32(named))
    except ValueError:
        return NO_DATA if dtype.kind != "u" else ()
    return (value, *NO_DATA) if dtype.kind != "u" else (value,)


def _misread(image: ImageFile.ImageFile, samples: Samples) -> str | None:
    """What an opened TIFF holds that Pillow decodes to something else, and the way out."""
    tags = _tags(image)
    if not tags or samples.bits > 8:
        return None
    if len(image.getbands()) > 1 and max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8:
        tiles: list[Any] = image.tile
        if any(tile[0] == "raw" and tile[3][0] in image.getbands() for tile in tiles):
            return "16 bits a colour plane by plane: save it as PNG, or with 8 bits"
    elif _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        return "8-bit signed integers: save it as 8-bit unsigned or 16-bit integers"
    return None


def _kind_of_tiff(data: bytes) -> str | None:
    """The samples of a TIFF that Pillow does not decode, in words, and the way out; None for what is no whole TIFF."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if 43 in data[2:4] else 8])  # 43: BigTIFF
        file = io.BytesIO(data)
        file.seek(tags.next)
        begin = tags.next
        tags.load(file)
        if tags.next == begin or _WIDTH not in tags:  # cut off: what follows the last tag was not read
            return None
        bands, bits = int(tags.get(_SAMPLES_PER_PIXEL, 1)), int(tags.get(_BITS_PER_SAMPLE, (1,))[0])
        numbers = _NUMBERS.get(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0], "numbers of no known kind")
        compression = int(tags.get(_COMPRESSION, 1))
    except BROKEN:
        return None
    if compression not in TiffImagePlugin.COMPRESSION_INFO:
        return f"a compression that is not known (number {compression}): save it without one, or as PNG"
    if bands == 1:
        return f"{bits}-bit {numbers}: save it as 16-bit unsigned integers or 32-bit floats"
    return f"{bands} bands of {bits}-bit {numbers}: save three of them as 8-bit RGB, or one as grey"
