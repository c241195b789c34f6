"""Where a training loop takes its batches from: pixels, or activations that were computed before.

What an image looks like in an epoch depends on the seed, the epoch and the image alone, so that a run that was killed
goes on with what it would have seen.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from graftwork.codes.extract import LayerCodes
from graftwork.core.arrays import Ints
from graftwork.core.facts import Preprocess
from graftwork.core.plans import Recipe
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import pixels
from graftwork.images.views import View, random_view


class Source(Protocol):
    """Gives the inputs of a network, batch by batch."""

    def stream(self, batches: Sequence[Ints], epoch: int | None) -> Iterator[torch.Tensor]:
        """Inputs of each batch of images, as they look in an epoch; None: as they are when a model is used."""
        ...


class Pixels:
    """Images decoded while the network works: (b, px, px, 3) uint8."""

    def __init__(self, images: ImageSet, preprocess: Preprocess, augment: str, seed: int) -> None:
        self._images, self._preprocess = images, preprocess
        self._augment, self._seed = augment, seed

    def stream(self, batches: Sequence[Ints], epoch: int | None) -> Iterator[torch.Tensor]:
        """Yield batches in order; as many threads as cores decode ahead."""

        def decode(image: int) -> NDArray[np.uint8]:
            view = self._view(epoch, image)
            return pixels(self._images.read(image), self._preprocess, view, self._images.names[image])

        yield from _ahead(decode, batches)

    def _view(self, epoch: int | None, image: int) -> View | None:
        if epoch is None or self._augment == "none":
            return None
        return random_view(np.random.default_rng([self._seed, epoch, image]))


class CachedActivations:
    """Activations at a cut that were kept: (b, values) float32; in each epoch an image is seen in one of its views."""

    def __init__(self, codes: LayerCodes, layer: str, seed: int) -> None:
        self._codes, self._layer, self._seed = codes, layer, seed

    def stream(self, batches: Sequence[Ints], epoch: int | None) -> Iterator[torch.Tensor]:
        """Yield batches in order, read from the store's mapped files."""
        count = len(self._codes.spaces)
        for batch in batches:
            chosen = [0 if epoch is None else self._view(epoch, int(image), count) for image in batch]
            rows: NDArray[np.float32] | None = None
            for view in set(chosen):
                here = np.flatnonzero(np.array(chosen) == view)
                digests = [self._codes.digests[batch[i]] for i in here]
                values = self._codes.spaces[view].gather(digests, self._layer)
                rows = np.empty((len(batch), values.shape[1]), np.float32) if rows is None else rows
                rows[here] = values
            yield torch.from_numpy(rows)

    def _view(self, epoch: int, image: int, count: int) -> int:
        return int(np.random.default_rng([self._seed, epoch, image]).integers(count))


def shuffled(rows: Ints, batch_size: int, seed: int, epoch: int, processes: int = 1) -> list[Ints]:
    """The batches of an epoch: every image once, the last batch smaller.

    Each process has at least two images of each batch; a last one with fewer joins the batch before.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    batch_size = max(batch_size, 2 * processes)
    batches = [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < 2 * processes:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def source_of(
    recipe: Recipe, images: ImageSet, preprocess: Preprocess, activations: LayerCodes | None, seed: int
) -> Source:
    """Return where a recipe's batches come from: cached activations where there are any."""
    if activations is not None and recipe.freeze_to is not None:
        return CachedActivations(activations, recipe.freeze_to, seed)
    return Pixels(images, preprocess, recipe.augment, seed)


def _ahead(decode: Callable[[int], NDArray[np.uint8]], batches: Sequence[Ints]) -> Iterator[torch.Tensor]:
    workers = os.cpu_count() or 1
    waiting: deque[list[Future[NDArray[np.uint8]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for batch in batches:
                waiting.append([pool.submit(decode, int(image)) for image in batch])
                if len(waiting) > 2:
                    yield _joined(waiting.popleft())
            while waiting:
                yield _joined(waiting.popleft())
        finally:
            for futures in waiting:
                for future in futures:
                    future.cancel()


def _joined(futures: Sequence[Future[NDArray[np.uint8]]]) -> torch.Tensor:
    return torch.from_numpy(np.stack([future.result() for future in futures]))
