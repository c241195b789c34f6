"""From images to codes in the store: every asked layer in one forward pass, decoding and network side by side."""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from graftwork.codes.store import Codes, Space, Store
from graftwork.core.facts import BackboneCard
from graftwork.images.pixels import VERSION as PIXELS_VERSION
from graftwork.images.pixels import pixels
from graftwork.images.read import ImageSet
from graftwork.images.views import View, views

SHARD_MB = 32.0
"""Codes are written in shards of about this size: what a kill can lose, and what extraction holds in memory."""
SHARD_IMAGES = 512

Progress = Callable[[int, int], None]
Dtype = Literal["float16", "float32"]


class Engine(Protocol):
    """What extraction asks of an engine (``backbones.engines``)."""

    @property
    def name(self) -> str:
        """Kind and precision, for example ``openvino fp32``."""
        ...

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        """Codes (b, d) of each layer for every batch of pixels (b, px, px, 3), in order."""
        ...


@dataclasses.dataclass(frozen=True)
class ExtractionSettings:
    """One way to compute codes: everything they depend on, but for the image."""

    card: BackboneCard
    """Its ``preprocess`` is the one in force, its ``taps`` the layers to read, and how."""
    engine: str
    views: int = 1
    dtype: Dtype = "float16"

    def key(self, view: View | None) -> dict[str, Any]:
        """Name the space of one view; layers are told apart within it."""
        return {
            "weights": self.card.weights_sha256,
            "architecture": [self.card.architecture, self.card.model_args],
            "preprocess": [PIXELS_VERSION, dataclasses.asdict(self.card.preprocess)],
            "view": dataclasses.asdict(view) if view is not None else None,
            "taps": [[tap.name, tap.pool, tap.relu] for tap in self.card.taps],
            "engine": self.engine,
            "precision": self.dtype,
        }


@dataclasses.dataclass(frozen=True, eq=False)
class LayerCodes:
    """The codes of some images at every layer of a reading, gathered from the store when asked for."""

    extraction: ExtractionSettings
    spaces: tuple[Space, ...]
    """One a view; the codes of several views are averaged."""
    digests: tuple[str, ...]

    def of(self, layers: Sequence[str]) -> Codes:
        """(n, d) codes of layers side by side, in the store's precision."""
        return np.concatenate([self._of_one(layer) for layer in layers], axis=1)

    def take(self, indices: NDArray[np.integer]) -> LayerCodes:
        """Return the codes of some of the images, in the order of ``indices``."""
        return LayerCodes(self.extraction, self.spaces, tuple(self.digests[i] for i in indices))

    def _of_one(self, layer: str) -> Codes:
        if len(self.spaces) == 1:
            return self.spaces[0].gather(self.digests, layer)
        total = sum(space.gather(self.digests, layer).astype(np.float32) for space in self.spaces)
        first = self.spaces[0].gather(self.digests[:1], layer)
        return np.asarray(total / len(self.spaces), dtype=first.dtype)


def extract(
    images: ImageSet,
    extraction: ExtractionSettings,
    engine: Callable[[], Engine],
    store: Store,
    *,
    progress: Progress | None = None,
) -> LayerCodes:
    """Compute the codes that the store lacks, and return those of all images.

    Parameters
    ----------
    engine
        Makes the engine; not called when nothing is missing, so that a second run needs no network at all.
    progress
        Called with the number of images done and the number to do.

    Raises
    ------
    DataError
        When an image cannot be read; those before it are kept.
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
            if progress is not None:
                progress(done, total)
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
    held: list[Mapping[str, NDArray[np.float32]]] = []
    begin = 0
    limit = _shard_images(extraction)
    try:
        for codes in engine.stream(_decoded(images, rows, extraction, view)):
            held.append(codes)
            if sum(map(_height, held)) >= limit:
                begin = _write(space, images, rows, begin, held, extraction.dtype)
                held = []
            yield _height(codes)
    finally:
        # what was computed before a failure or Ctrl-C is kept
        if held:
            _write(space, images, rows, begin, held, extraction.dtype)


def _write(
    space: Space,
    images: ImageSet,
    rows: NDArray[np.intp],
    begin: int,
    held: Sequence[Mapping[str, NDArray[np.float32]]],
    dtype: Dtype,
) -> int:
    """Write the codes held as one shard; return where the next one begins."""
    end = begin + sum(map(_height, held))
    digests = [images.digests[i] for i in rows[begin:end]]
    space.append(digests, {layer: _rounded([codes[layer] for codes in held], dtype) for layer in held[0]})
    return end


def _rounded(values: Sequence[NDArray[np.float32]], dtype: Dtype) -> Codes:
    """Rows one under the other; half precision ends at 65,504, and a code beyond it stays the largest one."""
    joined = np.concatenate(values)
    limit = np.finfo(dtype).max
    return np.clip(joined, -limit, limit).astype(dtype)


def _decoded(
    images: ImageSet, rows: NDArray[np.intp], extraction: ExtractionSettings, view: View | None
) -> Iterator[NDArray[np.uint8]]:
    """(1, px, px, 3) pixels of each image in order, decoded by as many threads as there are cores."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[NDArray[np.uint8]]] = deque()

    def decode(i: int) -> NDArray[np.uint8]:
        return pixels(images.read(i), extraction.card.preprocess, view, images.names[i])[None]

    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for i in rows:
                waiting.append(pool.submit(decode, int(i)))
                if len(waiting) > 16 * workers:  # bounds what is decoded and not yet used
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _height(codes: Mapping[str, NDArray[np.float32]]) -> int:
    return len(next(iter(codes.values())))


def _shard_images(extraction: ExtractionSettings) -> int:
    width = sum(tap.channels for tap in extraction.card.taps)
    by_size = int(SHARD_MB * 1e6 / (width * np.dtype(extraction.dtype).itemsize))
    return max(1, min(by_size, 8 * SHARD_IMAGES))
