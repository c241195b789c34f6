"""Is an exported file equal to the model? The judge: what may differ between their probabilities, and what may not."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from graftwork.core.figures import counted

LARGEST = 0.01
"""Maximum difference of a probability."""
MEDIAN = 1e-4
"""Maximum of the median over pictures of the largest difference of each."""
MARGIN = 0.01
"""Where the two most probable classes are further apart than this, the most probable one must be the same."""


@dataclasses.dataclass(frozen=True)
class Distance:
    """How far the probabilities of some pictures are from those that they should have."""

    largest: float
    median: float
    """Over the pictures, of the largest difference of each."""
    other_class: int
    """Pictures whose most probable class is another one, though the margin was above ``MARGIN``."""

    @property
    def in_words(self) -> str:
        """Both figures and the decisions, on one line."""
        same = "the same class for all" if not self.other_class else f"another class for {self.other_class}"
        return f"largest difference of a probability {self.largest:.1g}, median {self.median:.1g}, {same}"


@dataclasses.dataclass(frozen=True)
class Parity:
    """Proof that an exported file gives the probabilities of the model in float32."""

    pictures: int
    """Compared, in many sizes and ratios."""
    images: int
    """From which these were made."""
    runtime: str
    """That ran the file, with its version."""
    file: Distance
    """From the model in float32."""
    engine: str
    """Of the run."""
    run: Distance | None
    """Of the model on the run's own engine from the model in float32; None where this machine lacks that engine."""

    @property
    def holds(self) -> bool:
        """Whether the file may be called the model."""
        return self.file.largest <= LARGEST and self.file.median <= MEDIAN and not self.file.other_class

    @property
    def in_words(self) -> str:
        """What was compared, and how it ended."""
        made = f"{counted(self.pictures, 'picture')} made of {counted(self.images, 'image')} in many sizes and ratios"
        own = ""
        if self.run is not None and self.run.largest > 0:
            own = f"; the run's own engine, {self.engine}, against the same: {self.run.in_words}"
        return f"{made}, {self.runtime} against predict in float32: {self.file.in_words}{own}"


def distance(rows: NDArray[np.float32], expected: NDArray[np.float32]) -> Distance:
    """Return how far probability rows (n, k) are from those expected; a number that is none is as far as can be."""
    gaps = np.abs(np.nan_to_num(rows, nan=np.inf) - expected).max(axis=1)
    ordered = np.sort(expected, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > MARGIN if expected.shape[1] > 1 else np.zeros(len(expected), bool)
    other = clear & (rows.argmax(axis=1) != expected.argmax(axis=1))
    return Distance(float(gaps.max()), float(np.median(gaps)), int(other.sum()))
