"""Plans: what is intended with a backbone, before it happens."""

from __future__ import annotations

import dataclasses
from typing import Literal

from graftwork.core.facts import BackboneCard, digest_of

Loss = Literal["softmax", "svm"]
Normalise = Literal["standard", "l2"]


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear classifier on codes: the body is left alone."""

    loss: Loss = "softmax"
    """Multinomial logistic regression, or a linear SVM (squared hinge, one against the rest)."""
    normalise: Normalise = "standard"
    """Codes with mean 0 and variance 1 in every dimension, or of length 1."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One way to transfer: which network, read where, and what is fitted on it."""

    backbone: str
    """Name of the card."""
    taps: tuple[str, ...]
    """Layers read; the codes of several are concatenated."""
    plan: Linear
    pool: Literal["average", "max"] = "average"
    views: int = 1
    input_px: int = 224

    @property
    def key(self) -> str:
        """16 hexadecimal digits that name the candidate."""
        return digest_of(self)

    @property
    def layer(self) -> str:
        """The layers as people read them."""
        return " + ".join(self.taps) if len(self.taps) < 4 else f"all {len(self.taps)} layers"

    @property
    def label(self) -> str:
        """A line in a table."""
        return f"{self.layer}, {self.plan.loss}"


def linear_candidates(
    card: BackboneCard,
    *,
    layers: tuple[str, ...] | None = None,
    losses: tuple[Loss, ...] = ("softmax", "svm"),
    normalise: Normalise = "standard",
    pool: Literal["average", "max"] = "average",
    views: int = 1,
) -> tuple[Candidate, ...]:
    """Return the linear classifiers worth trying on a backbone, by rising depth, the concatenation last.

    Parameters
    ----------
    layers
        Read these side by side, and nothing else; None tries every layer and all of them together.
    """
    names = tuple(tap.name for tap in card.taps)
    every = [(name,) for name in names] + ([names] if len(names) > 1 else [])
    read = every if layers is None else [layers]
    plans = [Linear(loss, normalise) for loss in losses]
    size = card.preprocess.input_px
    return tuple(Candidate(card.name, taps, plan, pool, views, size) for taps in read for plan in plans)
