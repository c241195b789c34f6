"""Images in memory as an image set."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.images.imageset import ImageSet
from graftwork.images.sources import Source

DEEP_TYPES = ("uint16", "int32", "float32", "float64")
"""Types of one-channel arrays of more than 8 bits that are read as a TIFF file of them is."""


class _Arrays(Source):
    """Arrays, handed out as files without loss, so that one path decodes everything."""

    def __init__(self, arrays: NDArray[Any]) -> None:
        self._arrays = arrays

    def read(self, row: int) -> bytes:
        """The bytes of an uncompressed TIFF."""
        from PIL import Image

        out = io.BytesIO()
        Image.fromarray(self._arrays[row]).save(out, "TIFF")
        return out.getvalue()


def from_arrays(arrays: NDArray[Any]) -> ImageSet:
    """Unlabelled images from an array (n, h, w, 3) or (n, h, w) of uint8, or (n, h, w) of one of ``DEEP_TYPES``."""
    n = len(arrays)
    return ImageSet(
        names=tuple(f"image {i + 1}" for i in range(n)),
        labels=np.full(n, -1),
        classes=(),
        root=Path(),
        source=_Arrays(arrays),
        rows=np.arange(n),
    )
