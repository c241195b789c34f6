"""What codes depend on, apart from the image: the settings of an extraction."""

from __future__ import annotations

import dataclasses
from typing import Any

from graftwork.core.facts import BackboneCard, Dtype, Tap
from graftwork.images.pixels import VERSION as PIXELS_VERSION
from graftwork.images.views import View


@dataclasses.dataclass(frozen=True)
class ExtractionSettings:
    """One way to compute codes: everything that they depend on, apart from the image."""

    card: BackboneCard
    """Its ``preprocess`` is the one in force, its ``taps`` are the layers, pooled as each of them says."""
    engine: str
    views: int = 1
    """Number of views of an image over which codes are averaged."""
    dtype: Dtype = "float16"
    activations: tuple[Tap, ...] = ()
    """Layers that are taken whole in the same pass: what fine-tunings of the layers above them are trained on."""

    @property
    def read_card(self) -> BackboneCard:
        """The card with everything that one pass reads."""
        return dataclasses.replace(self.card, taps=(*self.card.taps, *self.activations))

    def key(self, view: View | None) -> dict[str, Any]:
        """Name the space of one view; layers are told apart within it."""
        return {
            "weights": self.card.weights_sha256,
            "architecture": [self.card.architecture, self.card.model_args],
            "preprocess": [PIXELS_VERSION, dataclasses.asdict(self.card.preprocess)],
            "view": dataclasses.asdict(view) if view is not None else None,
            "taps": [[tap.name, tap.pool, tap.relu] for tap in self.read_card.taps],
            "engine": self.engine,
            "precision": self.dtype,
        }
