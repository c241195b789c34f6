"""Which network, read where and how: what the user asked for becomes something that gives codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from graftwork.codes.extract import Dtype, Engine, LayerCodes, Progress, Reading, extract
from graftwork.codes.store import Store
from graftwork.core.facts import Aspect, Intensity, Relu
from graftwork.core.plans import Candidate
from graftwork.core.rules import Finding
from graftwork.images.imageset import ImageSet


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a user can decide about reading a network; None leaves it to the card."""

    backbone: str = "auto"
    layers: str = "auto"
    """Names of layers separated by commas, ``last``, or ``auto`` and ``all`` for all that the card lists."""
    aspect: Aspect | None = None
    input_px: int | None = None
    intensity: Intensity = "dataset"
    pool: Literal["average", "max"] = "average"
    relu: Relu = "auto"
    views: int = 1
    dtype: Dtype = "float16"


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """A network that is ready to be read, loaded only when a code is missing."""

    reading: Reading
    engine: Callable[[], Engine]
    store: Store
    findings: tuple[Finding, ...]

    def codes(self, images: ImageSet, progress: Progress | None = None) -> LayerCodes:
        """Return the codes of images at every layer, computed where the store lacks them."""
        return extract(images, self.reading, self.engine, self.store, progress=progress)

    def cost(self, candidate: Candidate) -> float:
        """Billions of multiply-accumulates to predict one image, but for the head.

        All layers of a network cost the same: its codes come from one forward pass, whichever is read.
        """
        card = self.reading.card
        return (card.gmacs or 1.0) * candidate.views
