"""What computing a network in 8 bits changed: decisions and accuracy on the same images. Pure; it judges."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from graftwork.core.arrays import Floats, Ints
from graftwork.core.choose import compare
from graftwork.core.figures import difference, percent, points
from graftwork.core.findings import Finding, finding

EQUAL = 0.98
"""Minimum share of equal decisions."""
LOSS = 0.01
"""Maximum loss of accuracy."""

RowsOf = Literal["validation images", "images that the network was fine-tuned on"]
"""Where decisions were compared. Each of the former was classified by a head that was not fitted on it."""


@dataclasses.dataclass(frozen=True)
class Int8Change:
    """A classifier in 8 bits beside the same one as it was before, paired per image."""

    before: str
    """Engine that it is compared with."""
    after: str
    """Engine in 8 bits."""
    images: int
    rows_of: RowsOf
    equal: int
    """Images that get the same class from both."""
    accuracy_before: float
    accuracy_after: float
    loss: float
    """Of accuracy, as a share; negative where 8 bits are more accurate."""
    loss_low: float
    loss_high: float
    """Its 95 % interval, paired, with a bootstrap over groups."""

    @property
    def small(self) -> bool:
        """Whether so little changed that the test score may stand for it."""
        return self.equal >= EQUAL * self.images and round(self.loss, 9) <= LOSS

    @property
    def in_words(self) -> str:
        """Decisions and accuracy, on one line."""
        low, high = (difference("accuracy", value) for value in (self.loss_low, self.loss_high))
        return (
            f"the same class as with {self.before} for {percent(self.equal / self.images)} % of {self.images:,} "
            f"{self.rows_of}; accuracy {percent(self.accuracy_before)} % becomes {percent(self.accuracy_after)} % "
            f"(loss {points('accuracy', self.loss)}, 95 % interval {low} to {high})"
        )


def int8_finding(change: Int8Change) -> Finding:
    """Return what to know about a run in 8 bits."""
    do = "" if change.small else "train with `--engine auto` where that is too much"
    return finding("G403", f"codes are computed in 8 bits: {change.in_words}", do=do)


def int8_change(
    y: Ints,
    before: Floats,
    after: Floats,
    groups: Ints,
    *,
    engines: tuple[str, str],
    rows_of: RowsOf,
    seed: int,
    widening: float = 1.0,
) -> Int8Change:
    """Compare probability rows (n, k) of the same images, before and after the network was quantised.

    Parameters
    ----------
    y, groups
        (n,) class indices, and numbers of the groups that images belong to.
    engines
        Names of both.
    widening
        Factor on the interval (``stats.shared_training``).
    """
    labelled = [("before", before), ("after", after)]
    first, second = compare("accuracy", y, labelled, groups, 0, seed=seed, widening=widening)
    return Int8Change(
        before=engines[0],
        after=engines[1],
        images=len(y),
        rows_of=rows_of,
        equal=int(np.sum(before.argmax(axis=1) == after.argmax(axis=1))),
        accuracy_before=first.score,
        accuracy_after=second.score,
        loss=second.deficit,
        loss_low=second.deficit_low,
        loss_high=second.deficit_high,
    )
