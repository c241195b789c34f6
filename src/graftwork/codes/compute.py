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
from graftwork.images.pixels import prepared, seen
from graftwork.images.views import View

Block = Mapping[str, NDArray[np.float32]]
"""Codes (b, d) of some images, or of views of them, by layer."""


def compute(
    images: ImageSet, rows: Ints, extraction: ExtractionSettings, views: Sequence[View | None], engine: Engine
) -> Iterator[Block]:
    """Yield the codes of some images in order, block by block, while the next images are decoded in threads.

    Each image is decoded once, and all views of it come before the next image; a block may end between them.

    Raises
    ------
    DataError
        When an image cannot be read.
    """

    def decode(row: int) -> NDArray[np.uint8]:
        picture = seen(images.read(row), extraction.card.preprocess, images.names[row])
        return np.stack([prepared(picture, extraction.card.preprocess, view) for view in views])

    return engine.stream(prefetched(decode, (int(row) for row in rows)))


def rounded(codes: NDArray[np.float32], dtype: Dtype) -> Floats:
    """Return codes (b, d) in a precision; one beyond the largest number of half precision becomes that."""
    limit = np.finfo(dtype).max
    return np.clip(codes, -limit, limit).astype(dtype)


def averaged(views: Sequence[Floats]) -> Floats:
    """Average the codes (n, d) of several views, in their own precision; those of one view stay as they are."""
    if len(views) == 1:
        return views[0]
    total = sum(codes.astype(np.float32) for codes in views)
    return np.asarray(total / len(views), dtype=views[0].dtype)
