"""Where a training loop takes its batches from: pixels, or activations that were computed before.

What an image looks like in an epoch depends on the seed, the epoch and the image alone, so that a run that was killed
goes on with the batches that it would have had.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from graftwork.codes.extract import LayerCodes
from graftwork.core.arrays import Ints
from graftwork.core.facts import Preprocess
from graftwork.core.plans import Augment, Recipe
from graftwork.images.cached import CachedImages
from graftwork.images.decoding import prefetched
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import pixels
from graftwork.images.views import View, random_view, views


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingData:
    """What one fine-tuning learns from, and what it is validated on."""

    images: ImageSet
    y: Ints
    """(n,) class indices."""
    rows: Ints
    """Indices of the images to train on."""
    validation: Ints
    """Indices of the images to validate on; empty in the refit on all images."""
    activations: LayerCodes | None
    """Of all images at ``Recipe.freeze_to``, where they were cached; None runs the whole network."""
    decoded: CachedImages | None
    """Of all images, where the whole network runs and they were cached; None decodes them in each epoch."""
    class_weights: NDArray[np.float32] | None
    """(k,) weights in the loss."""
    seed: int
    views: int = 1
    """Over how many views the margins of validation images are averaged in addition."""
    code_rms: float = 1.0
    """Root mean square of the last layer's codes of the images to train on."""


class Source(Protocol):
    """Gives the inputs of a network, batch by batch."""

    def stream(self, batches: Sequence[Ints], epoch: int | None, view: int = 0) -> Iterator[torch.Tensor]:
        """Yield the inputs of each batch of images, augmented as in an epoch; None: as they are in use, in a view.

        View 0 is the plain one, the others are those of ``images.views``.
        """
        ...


class Pixels:
    """Images read while the network computes, from cached ones or else from their files: (b, px, px, 3) uint8."""

    def __init__(
        self,
        images: ImageSet,
        preprocess: Preprocess,
        augment: Augment,
        seed: int,
        decoded: CachedImages | None = None,
        n_views: int = 1,
    ) -> None:
        self._views = views(n_views, seed=0)
        self._images, self._preprocess, self._decoded = images, preprocess, decoded
        self._augment, self._seed = augment, seed

    def stream(self, batches: Sequence[Ints], epoch: int | None, view: int = 0) -> Iterator[torch.Tensor]:
        """Yield batches in order, decoded ahead in threads."""

        def decode(image: int) -> NDArray[np.uint8]:
            seen = self._views[view] if epoch is None else self._augmented(epoch, image)
            if self._decoded is not None:
                return self._decoded.pixels(image, seen)
            return pixels(self._images.read(image), self._preprocess, seen, self._images.names[image])

        decoded = prefetched(decode, (int(image) for batch in batches for image in batch))
        for batch in batches:
            yield torch.from_numpy(np.stack([next(decoded) for _ in batch]))

    def _augmented(self, epoch: int, image: int) -> View | None:
        if self._augment == "none":
            return None
        return random_view(np.random.default_rng([self._seed, epoch, image]))


class CachedActivations:
    """Cached activations at a cut: (b, values) float32; in each epoch one of the image's augmented views is drawn."""

    def __init__(self, codes: LayerCodes, layer: str, seed: int) -> None:
        self._codes, self._seed = codes, seed
        self._name = next(tap.name for tap in codes.extraction.activations if tap.layer == layer)

    def stream(self, batches: Sequence[Ints], epoch: int | None, view: int = 0) -> Iterator[torch.Tensor]:
        """Yield batches in order, from the store's memory-mapped files."""
        count = len(self._codes.spaces)
        for batch in batches:
            chosen = [view if epoch is None else self._drawn(epoch, int(image), count) for image in batch]
            rows: NDArray[np.float32] | None = None
            for space in set(chosen):
                here = np.flatnonzero(np.array(chosen) == space)
                digests = [self._codes.digests[batch[i]] for i in here]
                values = self._codes.spaces[space].gather(digests, self._name)
                rows = np.empty((len(batch), values.shape[1]), np.float32) if rows is None else rows
                rows[here] = values
            yield torch.from_numpy(rows)

    def _drawn(self, epoch: int, image: int, count: int) -> int:
        return int(np.random.default_rng([self._seed, epoch, image]).integers(count))


def source_of(recipe: Recipe, data: TrainingData, preprocess: Preprocess) -> Source:
    """Return where a recipe's batches come from: cached activations where there are any, else pixels."""
    if data.activations is not None and recipe.freeze_to is not None:
        return CachedActivations(data.activations, recipe.freeze_to, data.seed)
    return Pixels(data.images, preprocess, recipe.augment, data.seed, data.decoded, data.views)


def shuffled(rows: Ints, batch_size: int, seed: int, epoch: int, processes: int = 1) -> list[Ints]:
    """Return the batches of an epoch: every image once, the last batch smaller.

    Each process gets two images of each batch or more; a smaller last batch is joined to the one before.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    batch_size = max(batch_size, 2 * processes)
    batches = [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < 2 * processes:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches
