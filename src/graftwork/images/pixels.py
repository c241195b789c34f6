"""The one place that decodes, resizes and normalises: bytes of an image file to a network's input.

The sampling grid is that of the usual pipeline (resize the shorter side, crop the centre), but only the pixels
that the crop keeps are computed: the box to resize is in the source's coordinates.
"""

from __future__ import annotations

import functools
import io
import math
import re
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.errors import DataError
from graftwork.images.views import View

VERSION = 1
"""Of what an image's bytes become; codes of another version are not met."""

Box = tuple[float, float, float, float]

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258  # TIFF
_SIXTEEN = re.compile(";16[BLN]")
"""In Pillow's name of a pixel format: 16 bits per channel (``BGR;16`` without a letter is 5, 6 and 5 bits)."""
_TAILS = (0.5, 99.5)
"""Percentiles of an image that stand for its darkest and brightest: a dead or hot pixel moves neither."""
BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, ArithmeticError)
"""What Pillow's readers raise on broken files (OSError holds UnidentifiedImageError)."""
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def open_image(data: bytes, name: str) -> Image.Image:
    """The image with its header read and nothing decoded.

    Raises
    ------
    DataError
        When it is no image, is broken, or would unpack to more pixels than Pillow allows.
    """
    _reuse_memory()
    try:
        image = Image.open(io.BytesIO(data))
    except _BOMB as error:
        raise DataError(f"{name} must not unpack to more pixels than is safe, but: {error}") from error
    except BROKEN as error:
        raise DataError(f"{name} must be an image, but its {len(data)} bytes are none that can be read") from error
    if _misinterpreted(image):
        raise DataError(f"{name} must not hold 16 bits a colour plane by plane: save it as PNG, or with 8 bits")
    return image


@functools.cache
def _reuse_memory() -> None:
    """Let Pillow keep 16 freed blocks (of at most 16 MB) for the next image, unless the user chose a number.

    By default every image is given fresh pages, and faulting them in is a fifth of the time of a photo.
    """
    core = Image.core  # type: ignore[attr-defined]  # documented under "block allocator", but not typed
    if core.get_blocks_max() == 0:
        core.set_blocks_max(16)


def load(image: Image.Image, name: str) -> None:
    """Decode the first frame or page; raises DataError that names the image when it is broken or cut off."""
    try:
        image.load()
    except _BOMB as error:
        raise DataError(f"{name} must not unpack to more pixels than is safe, but: {error}") from error
    except BROKEN as error:
        raise DataError(f"{name} must be a whole image, but is broken or cut off: {error}") from error


def decode(data: bytes, preprocess: Preprocess, name: str) -> Image.Image:
    """The first frame or page as a person would see it: turned upright, on white where transparent, in RGB.

    Raises
    ------
    DataError
        When the image is unreadable or cut off (never a black image instead), or holds more than 8 bits a channel
        while ``preprocess`` has no intensity range for the data set.
    """
    return _seen(data, preprocess, name).convert("RGB")


def pixels(data: bytes, preprocess: Preprocess, view: View | None = None, name: str = "the image") -> NDArray[np.uint8]:
    """(input_px, input_px, 3) RGB of one image, the whole of it or a view.

    ``crop`` gives what resizing the shorter side to ``input_px / crop_fraction`` and cropping the centre gives;
    ``pad`` the whole image on the network's mean colour; ``stretch`` the whole image, squeezed.

    Raises
    ------
    DataError
        As ``decode``.
    """
    image = _seen(data, preprocess, name)
    return prepared(image, preprocess, view)


def prepared(image: Image.Image, preprocess: Preprocess, view: View | None = None) -> NDArray[np.uint8]:
    """(input_px, input_px, 3) RGB of an image that is decoded already, in mode L or RGB."""
    left, top, right, bottom = (0.0, 0.0, 1.0, 1.0) if view is None else view.box
    x, y = left * image.width, top * image.height
    width, height = (right - left) * image.width, (bottom - top) * image.height
    px = preprocess.input_px
    size = (px, px)
    box = (0.0, 0.0, width, height)
    if preprocess.aspect == "pad":
        longer = max(width, height)
        size = (max(1, round(px * width / longer)), max(1, round(px * height / longer)))
    elif preprocess.aspect == "crop":
        # a view is shown to its edges: cropping the plain view is for networks trained on centred objects
        box = _centre_box(width, height, px, preprocess.crop_fraction if view is None else 1.0)
    box = (x + box[0], y + box[1], x + box[2], y + box[3])
    resized = _resized(image, size, box, _FILTERS[preprocess.interpolation]).convert("RGB")
    if view is not None and view.flip:
        resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if size != (px, px):
        framed = Image.new("RGB", (px, px), _mean_colour(preprocess))
        framed.paste(resized, ((px - size[0]) // 2, (px - size[1]) // 2))
        resized = framed
    return np.array(resized, dtype=np.uint8)


def normalise(batch: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    """(n, px, px, 3) RGB bytes to (n, 3, px, px) float32 as the network was trained on.

    ``mean`` and ``std`` are per channel in the network's own order. The reference: networks do the same inside.
    """
    planes = np.moveaxis(batch if preprocess.channels == "RGB" else batch[..., ::-1], -1, 1)
    mean = np.asarray(preprocess.mean, np.float32).reshape(1, 3, 1, 1)
    std = np.asarray(preprocess.std, np.float32).reshape(1, 3, 1, 1)
    return np.ascontiguousarray((planes.astype(np.float32) / np.float32(255) - mean) / std)


def upright(image: Image.Image) -> Image.Image:
    """A decoded image turned the way its EXIF note says it was held; a broken note turns nothing."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except BROKEN:
        return image
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def bits(image: Image.Image) -> int:
    """Bits a channel of an opened image; 32 for floating point."""
    if image.mode.startswith("I;16"):
        return 16
    if image.mode == "I":
        sample_bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (32,))
        return 16 if image.format in ("PNG", "PPM") else int(sample_bits[0])
    return 32 if image.mode == "F" else 8


def narrowed(image: Image.Image) -> bool:
    """Whether Pillow will keep the upper 8 of an opened image's 16 bits a channel, as it does with colours."""
    return bits(image) == 8 and _SIXTEEN.search(str(getattr(image, "tile", [])[:1])) is not None


def _misinterpreted(image: Image.Image) -> bool:
    """Whether an opened TIFF holds 16 bits a channel plane by plane: Pillow takes each plane for one of 8 bits."""
    sample_bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    if bits(image) > 8 or max(sample_bits) <= 8 or len(image.getbands()) == 1:
        return False
    return any(tile[0] == "raw" and tile[3][0] in image.getbands() for tile in getattr(image, "tile", []))


def intensity_tails(image: Image.Image) -> tuple[float, float]:
    """The darkest and the brightest value of a loaded one-channel image, a few outliers aside."""
    values = np.asarray(image, dtype=np.float32)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    low, high = np.percentile(values, _TAILS)
    return float(low), float(high)


def _seen(data: bytes, preprocess: Preprocess, name: str) -> Image.Image:
    """As ``decode``, but grey stays in one channel: a third of the work until the end."""
    image = open_image(data, name)
    load(image, name)
    if bits(image) > 8:
        return as_bytes(upright(image), _intensity_range(image, preprocess, name))
    return on_white(upright(image))


def on_white(image: Image.Image) -> Image.Image:
    """An 8-bit image of any mode in mode L or RGB; what is transparent shows white."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode in ("L", "1"):
        return image.convert("L")
    return image.convert("RGB")


def as_bytes(image: Image.Image, limits: tuple[float, float]) -> Image.Image:
    """A one-channel image of more than 8 bits in mode L; ``limits`` become 0 and 255."""
    low, high = limits
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=low)
    scaled = (values - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8))


def _intensity_range(image: Image.Image, preprocess: Preprocess, name: str) -> tuple[float, float]:
    if preprocess.intensity == "image":
        return intensity_tails(image)
    if preprocess.intensity == "dtype":
        return (0.0, 1.0) if image.mode == "F" else (0.0, float(2 ** bits(image) - 1))
    if preprocess.intensity_range is None:
        raise DataError(
            f"{name} has {bits(image)} bits a channel, and the intensity range of its data set is not known: "
            "use `--intensity dtype`, or a model trained on such images"
        )
    return preprocess.intensity_range


def _centre_box(width: float, height: float, px: int, crop_fraction: float) -> Box:
    """The part of the source that a centre crop keeps, on the very grid of resize-then-crop.

    The shorter side becomes ``floor(px / crop_fraction)``, the longer one is cut to whole pixels (so the two scales
    differ a little), and the crop's offset is rounded half to even.
    """
    short = math.floor(px / crop_fraction)
    if width <= height:
        new_width, new_height = short, int(short * height / width)
    else:
        new_width, new_height = int(short * width / height), short
    left, top = round((new_width - px) / 2), round((new_height - px) / 2)
    across, down = width / new_width, height / new_height
    return left * across, top * down, (left + px) * across, (top + px) * down


def _resized(image: Image.Image, size: tuple[int, int], box: Box, filter: Image.Resampling) -> Image.Image:
    """Resize a box of an image, rows first.

    Done in two calls: given both directions at once, some versions of Pillow begin with the one that is cheaper,
    and since bytes are rounded in between, a crop would then differ from the crop of the whole.
    """
    reach = (2 if filter is Image.Resampling.BICUBIC else 1) * max(1.0, (box[3] - box[1]) / size[1]) + 1
    first, last = max(0, math.floor(box[1] - reach)), min(image.height, math.ceil(box[3] + reach))
    if last - first > image.height // 2:  # cutting rows off costs a copy
        first, last = 0, image.height
    rows = image if (first, last) == (0, image.height) else image.crop((0, first, image.width, last))
    right, bottom = min(box[2], float(image.width)), min(box[3] - first, float(last - first))
    rows = rows.resize((size[0], last - first), filter, box=(box[0], 0, right, last - first))
    return rows.resize(size, filter, box=(0, box[1] - first, size[0], bottom))


def _mean_colour(preprocess: Preprocess) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, round(255 * value))) for value in preprocess.mean)
    return (red, green, blue) if preprocess.channels == "RGB" else (blue, green, red)
