"""From images to codes in the store: what it lacks is computed, and written shard by shard."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.engines import Engine
from graftwork.codes.compute import Block, averaged, compute, rounded
from graftwork.codes.settings import ExtractionSettings
from graftwork.codes.store import Codes, Space, Store
from graftwork.core.arrays import Ints
from graftwork.core.plans import Candidate
from graftwork.images.imageset import ImageSet
from graftwork.images.views import View, views
from graftwork.listener import SILENT, Listener

SHARD_MB = 32.0
"""Codes are written in shards of about this size: what a kill can lose, and what extraction holds in memory."""
SHARD_IMAGES = 4096
"""Maximum number of images in a shard."""


@dataclasses.dataclass(frozen=True, eq=False)
class LayerCodes:
    """The codes of some images at every layer of an extraction, gathered from the store when asked for."""

    extraction: ExtractionSettings
    spaces: tuple[Space, ...]
    """One per view; the codes of several views are averaged."""
    digests: tuple[str, ...]

    def of(self, layers: Sequence[str]) -> Codes:
        """(n, d) codes of layers, concatenated, in the store's precision."""
        if not self.digests:
            width = sum(tap.channels for tap in self.extraction.card.taps if tap.name in layers)
            return np.zeros((0, width), self.extraction.dtype)
        per_layer = [averaged([space.gather(self.digests, layer) for space in self.spaces]) for layer in layers]
        return np.concatenate(per_layer, axis=1)

    def take(self, indices: Ints) -> LayerCodes:
        """Return the codes of some of the images, in the order of ``indices``."""
        return LayerCodes(self.extraction, self.spaces, tuple(self.digests[i] for i in indices))


CodesOf = Callable[[Candidate], LayerCodes]
"""Gives the codes under a candidate's head, of the images to develop on."""


def extract(
    images: ImageSet,
    extraction: ExtractionSettings,
    engine: Callable[[], Engine],
    store: Store,
    *,
    listener: Listener = SILENT,
) -> LayerCodes:
    """Compute the codes that the store lacks, and return those of all images.

    Parameters
    ----------
    engine
        Makes the engine; not called when nothing is missing, so that a second run needs no network at all.
    listener
        Hears the number of images done and to do, after each block.

    Raises
    ------
    DataError
        When an image cannot be read; the codes of those before it are stored.
    StorageError
        When the store cannot be written.
    """
    layers = [tap.name for tap in extraction.card.taps]
    kinds = views(extraction.views, seed=0)
    spaces = [store.space(extraction.key(view)) for view in kinds]
    for space in spaces:
        space.verify(layers)
        store.damaged += space.damaged
    digests = [str(digest) for digest in images.digests]
    missing = [space.missing(digests, layers) for space in spaces]
    total = sum(map(len, missing))
    made: Engine | None = None
    done = 0
    for view, space, rows in zip(kinds, spaces, missing, strict=True):
        if not len(rows):
            continue
        made = made or engine()
        for written in _fill(space, images, rows, extraction, view, made):
            done += written
            listener.progress(done, total)
    if total:
        store.enforce_budget()
    return LayerCodes(extraction, tuple(spaces), tuple(digests))


def _fill(
    space: Space,
    images: ImageSet,
    rows: NDArray[np.intp],
    extraction: ExtractionSettings,
    view: View | None,
    engine: Engine,
) -> Iterator[int]:
    """Compute the codes of ``rows`` and write them shard by shard; yield the images done at each step."""
    held: list[Block] = []
    begin = 0
    limit = _shard_images(extraction)

    def write() -> int:
        end = begin + sum(map(_height, held))
        digests = [images.digests[i] for i in rows[begin:end]]
        space.append(digests, {layer: rounded([block[layer] for block in held], extraction.dtype) for layer in held[0]})
        return end

    try:
        for block in compute(images, rows, extraction, view, engine):
            held.append(block)
            if sum(map(_height, held)) >= limit:
                begin = write()
                held = []
            yield _height(block)
    finally:
        # what was computed before a failure or Ctrl-C is stored
        if held:
            write()


def _height(block: Block) -> int:
    return len(next(iter(block.values())))


def _shard_images(extraction: ExtractionSettings) -> int:
    width = sum(tap.channels for tap in extraction.card.taps)
    by_size = int(SHARD_MB * 1e6 / (width * np.dtype(extraction.dtype).itemsize))
    return max(1, min(by_size, SHARD_IMAGES))
