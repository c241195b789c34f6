"""The one place that decodes, resizes and normalises: bytes of an image file to a network's input.

The sampling grid is that of the usual pipeline (resize the shorter side, crop the centre), but only the pixels
that the crop keeps are computed: the box to resize is in the source's coordinates.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.errors import DataError
from graftwork.images.header import BROKEN, Samples, open_image
from graftwork.images.pillow import caught_warnings
from graftwork.images.views import View

VERSION = 2
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
_TAILS = (0.5, 99.5)
"""Percentiles of an image that stand for its darkest and brightest: a dead or hot pixel moves neither."""
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
"""Modes with a band of alpha."""


def load(image: Image.Image, name: str) -> None:
    """Decode the first frame or page; raises DataError that names the image when it is broken or cut off."""
    try:
        image.load()
    except Image.DecompressionBombError as error:
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
    return seen(data, preprocess, name).convert("RGB")


def seen(data: bytes, preprocess: Preprocess, name: str) -> Image.Image:
    """As ``decode``, but grey stays in one channel (mode L): a third of the work until the end."""
    with caught_warnings():  # `measure` reports them
        stored, samples = open_image(data, name)
        load(stored, name)
        image = upright(stored)
        if samples.bits == 8:
            return on_white(image)
        values = intensities(image, samples)
        return as_bytes(values, _intensity_range(values, samples, preprocess, name))


def pixels(data: bytes, preprocess: Preprocess, view: View | None = None, name: str = "the image") -> NDArray[np.uint8]:
    """(input_px, input_px, 3) RGB of one image, the whole of it or a view.

    ``crop`` gives what resizing the shorter side to ``input_px / crop_fraction`` and cropping the centre gives;
    ``pad`` the whole image on the network's mean colour; ``stretch`` the whole image, squeezed.

    Raises
    ------
    DataError
        As ``decode``.
    """
    return prepared(seen(data, preprocess, name), preprocess, view)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Which part of an image a network's input shows, and where in the input it is."""

    box: Box
    """Left, top, right, bottom in pixels of the image."""
    left: int
    top: int
    width: int
    height: int
    """Of the rectangle of the input that shows the box; around it is the mean colour."""
    flip: bool
    """Mirrored left to right."""


def placement(width: int, height: int, preprocess: Preprocess, view: View | None = None) -> Placement:
    """Return where ``prepared`` puts an image of this size, or a view of it."""
    left, top, right, bottom = (0.0, 0.0, 1.0, 1.0) if view is None else view.box
    x, y = left * width, top * height
    across, down = (right - left) * width, (bottom - top) * height
    px = preprocess.input_px
    size = (px, px)
    box = (0.0, 0.0, across, down)
    if preprocess.aspect == "pad":
        longer = max(across, down)
        size = (max(1, round(px * across / longer)), max(1, round(px * down / longer)))
    elif preprocess.aspect == "crop":
        box = _centre_box(across, down, px, scaled_side(preprocess, view))
    box = (x + box[0], y + box[1], x + box[2], y + box[3])
    return Placement(box, (px - size[0]) // 2, (px - size[1]) // 2, *size, flip=view is not None and view.flip)


def prepared(image: Image.Image, preprocess: Preprocess, view: View | None = None) -> NDArray[np.uint8]:
    """(input_px, input_px, 3) RGB of an image that is decoded already, in mode L or RGB."""
    place = placement(*image.size, preprocess, view)
    px, size = preprocess.input_px, (place.width, place.height)
    resized = _resized(image, size, place.box, _FILTERS[preprocess.interpolation]).convert("RGB")
    if place.flip:
        resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if size != (px, px):
        framed = Image.new("RGB", (px, px), mean_colour(preprocess))
        framed.paste(resized, (place.left, place.top))
        resized = framed
    return np.array(resized, dtype=np.uint8)


def scaled_side(preprocess: Preprocess, view: View | None = None) -> int:
    """Length in pixels to which the shorter side is resized, or the longer one where the whole image is padded."""
    # a view is shown to its edges: cropping the plain view is for networks trained on centred objects
    cropped = preprocess.aspect == "crop" and view is None
    return math.floor(preprocess.input_px / preprocess.crop_fraction) if cropped else preprocess.input_px


def mean_colour(preprocess: Preprocess) -> tuple[int, int, int]:
    """RGB of what surrounds a padded image: the mean of the images that the network was trained on."""
    red, green, blue = (min(255, max(0, round(255 * value))) for value in preprocess.mean)
    return (red, green, blue) if preprocess.channels == "RGB" else (blue, green, red)


def laid_back(
    values: NDArray[np.float32], place: Placement, image: tuple[int, int], size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """(h, w) values of a network's input (px, px) where they belong in the image, NaN where the input does not show it.

    Parameters
    ----------
    image
        Width and height of the image that ``place`` is of.
    size
        Width and height of the result, which covers the whole image; its own size unless given.
    """
    width, height = size or image
    left, top, right, bottom = place.box
    across = ((np.arange(width) + 0.5) * image[0] / width - left) / (right - left)  # share of the box, at each column
    down = ((np.arange(height) + 0.5) * image[1] / height - top) / (bottom - top)
    inside = values[place.top : place.top + place.height, place.left : place.left + place.width]
    if place.flip:
        inside = inside[:, ::-1]
    rows = _interpolated(inside, down * place.height - 0.5)
    laid = np.ascontiguousarray(_interpolated(rows.T, across * place.width - 0.5).T)
    laid[(down < 0) | (down > 1)] = np.nan
    laid[:, (across < 0) | (across > 1)] = np.nan
    return laid


def shrunk(image: Image.Image, preprocess: Preprocess, px: int) -> Image.Image:
    """An image that is decoded already, the side that decides its size in a network's input made ``px`` long.

    That is the longer side where the whole image is padded, else the shorter one; smaller images stay as they are.
    """
    side = (max if preprocess.aspect == "pad" else min)(image.size)
    if side <= px:
        return image
    width, height = (max(1, round(length * px / side)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)  # loses least when it is resized once more


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


def intensities(image: Image.Image, samples: Samples) -> NDArray[np.float32]:
    """(h, w) values of a loaded image of more than 8 bits: white is high, and NaN is where there is no data."""
    stored = np.asarray(image)
    values = stored.view(np.uint32).astype(np.float32) if samples.dtype == np.uint32 else stored.astype(np.float32)
    absent = ~np.isfinite(values)
    for value in samples.no_data:
        absent |= values == np.float32(value)
    if samples.white_is_zero:
        values = np.float32(sum(_limits(samples))) - values
    values[absent] = np.nan
    return values


def intensity_tails(values: NDArray[np.float32]) -> tuple[float, float]:
    """The darkest and the brightest of (h, w) values, a few outliers aside; NaN for both where there is no data.

    Where the outliers are all that differs (a few spots on black), they count.
    """
    present = values[~np.isnan(values)]
    if not present.size:
        return math.nan, math.nan
    low, high = np.percentile(present, _TAILS)
    return (float(low), float(high)) if high > low else (float(present.min()), float(present.max()))


def as_bytes(values: NDArray[np.float32], limits: tuple[float, float]) -> Image.Image:
    """(h, w) values in mode L: ``limits`` become 0 and 255, and what has no data is black."""
    low, high = limits
    scaled = (np.nan_to_num(values, nan=low) - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(np.clip(np.nan_to_num(scaled) + 0.5, 0, 255).astype(np.uint8))


def on_white(image: Image.Image) -> Image.Image:
    """An 8-bit image of any mode in mode L or RGB; what is transparent shows white, unless all of it is."""
    if _may_be_transparent(image):
        image = image.convert("RGBA")
        if _all_transparent(image):
            return image.convert("RGB")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode in ("L", "1"):
        return image.convert("L")
    return image.convert("RGB")


def wholly_transparent(image: Image.Image) -> bool:
    """Whether no pixel of a loaded 8-bit image is visible: its alpha was never meant, and ``on_white`` ignores it."""
    return _may_be_transparent(image) and _all_transparent(image.convert("RGBA"))


def _may_be_transparent(image: Image.Image) -> bool:
    return image.mode in _ALPHA or "transparency" in image.info


def _all_transparent(image: Image.Image) -> bool:
    return image.getchannel("A").getextrema() == (0, 0)


def _limits(samples: Samples) -> tuple[float, float]:
    """Black and white of a kind of number: the ends of an integer's range, 0 and 1 for floating point."""
    if samples.dtype.kind == "f":
        return 0.0, 1.0
    ends = np.iinfo(samples.dtype)
    return float(ends.min), float(ends.max)


def _intensity_range(
    values: NDArray[np.float32], samples: Samples, preprocess: Preprocess, name: str
) -> tuple[float, float]:
    if preprocess.intensity == "image":
        return intensity_tails(values)
    if preprocess.intensity == "dtype":
        if samples.bits == 32 and samples.dtype.kind != "f":
            raise DataError(
                f"{name} holds integers of 32 bits, whose range says nothing of what is black and white: use "
                "`--intensity dataset` or `image`"
            )
        return _limits(samples)
    if preprocess.intensity_range is None:
        raise DataError(
            f"{name} has {samples.bits} bits a channel, and the intensity range of its data set is not known: "
            "train with `--intensity dtype`, or on such images"
        )
    return preprocess.intensity_range


def _centre_box(width: float, height: float, px: int, short: int) -> Box:
    """The part of the source that a centre crop keeps, on the very grid of resize-then-crop.

    The shorter side becomes ``short``, the longer one is cut to whole pixels (so the two scales differ a little), and
    the crop's offset is rounded half to even.
    """
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


def _interpolated(rows: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """(m, d) values at positions (m,) between rows (n, d); beyond the first and the last row, these."""
    at = np.clip(at, 0, len(rows) - 1)
    low = np.minimum(at.astype(np.intp), max(len(rows) - 2, 0))
    share = (at - low).astype(np.float32)[:, None]
    return np.asarray(rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share)
