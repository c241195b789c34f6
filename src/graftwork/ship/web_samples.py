"""Pictures that come with a page, drawn for it: what a browser may misread is in them, and no image of anybody's."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from graftwork.model.folder import Sample

_DRAWN = 8
"""Of these drawings the one is taken of which the model is least confident: where it is certain, a misread picture
would get the same answer."""
_LARGE = 3.1
"""Sides in units of the network's input, by no whole number: much to shrink."""
_SMALL = 0.7
_ORIENTATION = 0x0112
_LINEAR = struct.pack(">I", 100_000)
"""A gamma of 1: who follows it makes the picture much lighter."""

_Draw = Callable[[Any, int], Image.Image]
_Probabilities = Callable[[Sequence[bytes]], NDArray[np.float32]]


def web_samples(probabilities: _Probabilities, input_px: int) -> tuple[Sample, ...]:
    """Return pictures and their probabilities: one much larger than the input, one that states a gamma, one that is
    half transparent, and a JPEG that lies on its side.

    Parameters
    ----------
    probabilities
        Of the model in float32: (n, k) of n files.
    """
    large, small = round(_LARGE * input_px), round(_SMALL * input_px)
    kinds: dict[str, Callable[[int], bytes]] = {
        "large.png": lambda seed: _png(_drawing(large, round(0.8 * large), seed)),
        "gamma.png": lambda seed: _png(_drawing(small, 2 * small, seed), gamma=_LINEAR),
        "transparent.png": lambda seed: _png(_fading(_drawing(2 * small, small, seed))),
        "turned.jpg": lambda seed: _turned(_drawing(large, large // 2, seed)),
    }
    samples = []
    for name, make in kinds.items():
        drawn = [make(seed) for seed in range(_DRAWN)]
        rows = probabilities(drawn)
        best = int(rows.max(axis=1).argmin())
        samples.append(Sample(name, drawn[best], rows[best]))
    return tuple(samples)


def _drawing(width: int, height: int, seed: int) -> Image.Image:
    """Rings that become finer outwards, in soft colours: shrunk carelessly, they become other rings."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(width, height)
    rings = np.zeros((height, width))
    for _ in range(2):
        left, top = rng.uniform(0, 1, 2)
        rings += np.cos(rng.uniform(0.2, 0.5) * max(width, height) * ((x - left) ** 2 + (y - top) ** 2))
    coarse = Image.fromarray(rng.integers(40, 216, (4, 5, 3)).astype(np.uint8))
    colours = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    return Image.fromarray(np.clip(colours + 40 * rings[..., None], 0, 255).astype(np.uint8))


def _fading(image: Image.Image) -> Image.Image:
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1))))
    return image


def _png(image: Image.Image, *, gamma: bytes | None = None) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    if gamma is not None:
        chunks.add(b"gAMA", gamma)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True, pnginfo=chunks)
    return out.getvalue()


def _turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92, exif=exif)
    return out.getvalue()
