"""A map of evidence drawn over its image."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from graftwork.core.shown import one_line

_COLOURS = np.array([[38, 16, 92], [124, 26, 128], [205, 56, 98], [248, 128, 62], [255, 226, 104]], np.float32)
"""Of evidence from little to most: their lightness rises, so that they stay apart in grey and for colour-blind eyes."""
_FAINT, _STRONG = 0.25, 0.8
"""How far the image is covered where there is no evidence, and where there is most."""
_STRIPE_PX = 6
_UNSEEN, _STRIPE = 0.35, 70
"""Share of its brightness that the image has where the network does not see it, and what every other stripe adds."""
_GAP_PX = 8
_TEXT_PX = 16
_PAPER, _INK = (255, 255, 255), (26, 31, 38)


def overlay(picture: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(h, w, 3) picture under a map (h, w) in [0, 1]; striped where the map says nothing (NaN)."""
    share = np.nan_to_num(values)[..., None]
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    cover = _FAINT + (_STRONG - _FAINT) * share
    drawn = (1 - cover) * grey[..., None] + cover * _coloured(share[..., 0])
    y, x = np.indices(values.shape)
    striped = _UNSEEN * grey + _STRIPE * ((x + y) // _STRIPE_PX % 2)
    drawn[np.isnan(values)] = striped[np.isnan(values), None]
    return np.asarray(drawn.clip(0, 255), np.uint8)


def side_by_side(picture: NDArray[np.uint8], values: NDArray[np.float32], caption: str) -> Image.Image:
    """The picture, the map drawn over it beside it, and a line of text below both."""
    height, width = values.shape
    font, text = ImageFont.load_default(_TEXT_PX), one_line(caption)
    across = max(2 * width + _GAP_PX, math.ceil(font.getlength(text)))
    sheet = Image.new("RGB", (across, height + 2 * _TEXT_PX), _PAPER)
    sheet.paste(Image.fromarray(picture), (0, 0))
    sheet.paste(Image.fromarray(overlay(picture, values)), (width + _GAP_PX, 0))
    ImageDraw.Draw(sheet).text((0, height + _TEXT_PX // 4), text, _INK, font)
    return sheet


def png_of(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _coloured(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 3) colours of (h, w) shares."""
    at = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(share, at, _COLOURS[:, band]) for band in range(3)], axis=-1).astype(np.float32)
