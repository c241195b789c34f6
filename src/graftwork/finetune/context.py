"""What every fine-tuning of a run needs in addition to codes and labels; known before torch is imported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from graftwork.codes.extract import LayerCodes
from graftwork.codes.settings import ExtractionSettings
from graftwork.core.facts import Tap
from graftwork.core.plans import Candidate, training_of
from graftwork.images.imageset import ImageSet
from graftwork.listener import Listener


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuneContext:
    """What every fine-tuning of a run needs in addition to codes and labels."""

    images: ImageSet
    """Those to develop on."""
    extract: Callable[[ExtractionSettings], LayerCodes]
    """Gives codes and activations of these images; computed where the store lacks them."""
    folder: Path
    """Where checkpoints and fine-tuned weights are written."""
    store_mb: float
    """Disk space that the cached activations of one cut may take; above it every epoch runs the whole network. Decoded
    images may take as much; above it every epoch decodes them."""
    seed: int
    n_refits: int
    """How often the chosen candidate is fitted at the end: on the develop part, and perhaps on every image."""
    listener: Listener
    candidates: tuple[Candidate, ...] = ()
    """The fine-tunings of every network that may be tried."""
    activations: Mapping[str, tuple[Tap, ...]] = dataclasses.field(default_factory=dict)
    """Activations at the cuts of these, by network: computed together, in all of the augmented views."""

    def place(self, candidate: Candidate, C: float) -> Path:
        """Return the folder of a fine-tuning that begins with the linear model of ``C``."""
        return self.folder / f"{training_of(candidate).key}-C{C:g}-seed{self.seed}"

    def refit_place(self, candidate: Candidate, C: float) -> Path:
        """Return the folder of the weights after the last epoch of its refit on all images."""
        return self.place(candidate, C) / "fit"

    def fold_place(self, candidate: Candidate, C: float, fold: int) -> Path:
        """Return the folder of one of its folds; ``checkpoint`` in it holds the weights after the last epoch."""
        return self.place(candidate, C) / f"fold-{fold}"
