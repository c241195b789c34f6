"""From images to codes in the store: what it lacks is computed, and written shard by shard."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.engines import Engine
from graftwork.codes.compute import Block, averaged, compute, rounded
from graftwork.codes.settings import ExtractionSettings
from graftwork.codes.store import Codes, Space, Store
from graftwork.core.arrays import Floats, Ints
from graftwork.core.plans import Candidate
from graftwork.images.imageset import ImageSet
from graftwork.images.views import views
from graftwork.listener import SILENT, Listener

SHARD_MB = 32.0
"""Codes are written in shards of about this size: what a kill can lose, and what extraction holds in memory."""
SHARD_IMAGES = 4096
"""Maximum number of images in a shard."""
HELD_SHARDS = 4
"""Views whose whole shards are held in memory at once; with more, shards are smaller."""


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
    layers = [tap.name for tap in extraction.read_card.taps]
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
    for rows, lacking in _by_rows(missing):
        made = made or engine()
        fill = _Fill([spaces[i] for i in lacking], images, rows, extraction)
        for height in fill.run(compute(images, rows, extraction, [kinds[i] for i in lacking], made)):
            done += height
            listener.progress(done, total)
    if total:
        store.enforce_budget()
    return LayerCodes(extraction, tuple(spaces), tuple(digests))


def _by_rows(missing: Sequence[NDArray[np.intp]]) -> list[tuple[NDArray[np.intp], list[int]]]:
    """Group views that lack the same images: (rows, positions of the views), so that each image is decoded once."""
    groups: dict[bytes, tuple[NDArray[np.intp], list[int]]] = {}
    for position, rows in enumerate(missing):
        if len(rows):
            groups.setdefault(rows.tobytes(), (rows, []))[1].append(position)
    return list(groups.values())


class _Fill:
    """Writes the codes of images to the spaces of their views, shard by shard."""

    def __init__(
        self, spaces: Sequence[Space], images: ImageSet, rows: NDArray[np.intp], extraction: ExtractionSettings
    ) -> None:
        self._spaces, self._images, self._rows, self._dtype = spaces, images, rows, extraction.dtype
        self._shard = max(1, _shard_images(extraction) // math.ceil(len(spaces) / HELD_SHARDS))
        self._held: dict[str, list[Floats]] = {tap.name: [] for tap in extraction.read_card.taps}
        """By layer, the codes that are not written yet: every view of an image, then those of the next image."""
        self._heights = 0
        """Number of codes held."""
        self._written = 0
        """Number of images written."""

    def run(self, blocks: Iterable[Block]) -> Iterator[int]:
        """Take blocks as ``compute`` yields them, and yield the height of each; what ends early is written too."""
        try:
            for block in blocks:
                for layer, codes in block.items():
                    self._held[layer].append(rounded(codes, self._dtype))
                height = len(next(iter(block.values())))
                self._heights += height
                if self._heights >= self._shard * len(self._spaces):
                    self._write()
                yield height
        finally:
            self._write()

    def _write(self) -> None:
        """Write the images of which all views are there."""
        views = len(self._spaces)
        count = self._heights // views
        if not count:
            return
        rows = self._rows[self._written : self._written + count]
        digests = [self._images.digests[i] for i in rows]
        joined = {layer: np.concatenate(held) for layer, held in self._held.items()}
        for view, space in enumerate(self._spaces):
            codes = {layer: values[view : count * views : views] for layer, values in joined.items()}
            space.append(digests, {layer: np.ascontiguousarray(values) for layer, values in codes.items()})
        self._held = {layer: [values[count * views :]] for layer, values in joined.items()}
        self._written += count
        self._heights -= count * views


def _shard_images(extraction: ExtractionSettings) -> int:
    width = sum(tap.channels for tap in extraction.read_card.taps)
    by_size = int(SHARD_MB * 1e6 / (width * np.dtype(extraction.dtype).itemsize))
    return max(1, min(by_size, SHARD_IMAGES))
