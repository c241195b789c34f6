"""Images and an engine become codes: every layer in one forward pass, decoding and network at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.engines import Engine
from graftwork.codes.settings import ExtractionSettings
from graftwork.core.arrays import Floats, Ints
from graftwork.core.facts import Dtype
from graftwork.images.decoding import prefetched
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import pixels
from graftwork.images.views import View

Block = Mapping[str, NDArray[np.float32]]
"""Codes (b, d) of some images by layer."""


def compute(
    images: ImageSet, rows: Ints, extraction: ExtractionSettings, view: View | None, engine: Engine
) -> Iterator[Block]:
    """Yield the codes of some images in order, block by block, while the next images are decoded in threads.

    Raises
    ------
    DataError
        When an image cannot be read.
    """

    def decode(row: int) -> NDArray[np.uint8]:
        return pixels(images.read(row), extraction.card.preprocess, view, images.names[row])[None]

    return engine.stream(prefetched(decode, (int(row) for row in rows)))


def rounded(blocks: Sequence[NDArray[np.float32]], dtype: Dtype) -> Floats:
    """Concatenate blocks (b, d) in a precision; a code beyond the largest number of half precision becomes that."""
    joined = np.concatenate(blocks)
    limit = np.finfo(dtype).max
    return np.clip(joined, -limit, limit).astype(dtype)


def averaged(views: Sequence[Floats]) -> Floats:
    """Average the codes (n, d) of several views, in their own precision; those of one view stay as they are."""
    if len(views) == 1:
        return views[0]
    total = sum(codes.astype(np.float32) for codes in views)
    return np.asarray(total / len(views), dtype=views[0].dtype)
