"""Plans: what is intended with a backbone, before it happens."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from graftwork.core.facts import BackboneCard, digest_of

Loss = Literal["softmax", "svm"]
Normalise = Literal["standard", "l2"]
NOTHING_FROZEN = "the input"


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear classifier on codes: the body is left alone."""

    loss: Loss = "softmax"
    """Multinomial logistic regression, or a linear SVM (squared hinge, one against the rest)."""
    normalise: Normalise = "standard"
    """Codes with mean 0 and variance 1 in every dimension, or of length 1."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A fine-tuning: what moves, how far and how fast.

    The head starts as the solved linear model on the last layer's codes (LP-FT, Kumar et al. 2022).
    """

    freeze_to: str | None
    """The layer up to which, itself included, nothing moves; None where every layer moves."""
    epochs: int
    batch_size: int = 32
    lr: float = 1e-3
    """Of AdamW, for the head and the top of the body."""
    layer_decay: float = 0.8
    """The rate of each stage below the top is that of the stage above it times this."""
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    augment: Literal["none", "crop"] = "crop"
    """``crop``: a random part of the image, mirrored half of the time, in each epoch."""
    fixed_views: int = 0
    """Views of each image whose activations at the frozen layer are computed once; 0 passes through the whole network
    in every epoch."""
    start: Literal["pretrained", "random"] = "pretrained"
    keep: float = 1.0
    """Share of the way from the pretrained weights and the linear head to the tuned ones (WiSE-FT, Wortsman 2022)."""
    patience: int | None = None
    """Epochs without a lower log loss on images left out after which training stops early; None runs all of them."""
    stop_at: int | None = None
    """The epoch after which training ends, on the schedule of all ``epochs``: what early stopping came to in
    cross-validation, so that the fit on all images needs none left out."""

    @property
    def label(self) -> str:
        """What moves, and how far, in words."""
        if self.start == "random":
            return "from scratch"
        words = ["all layers tuned" if self.freeze_to is None else f"tuned above {self.freeze_to}"]
        words += [f"{self.keep:g} of the way"] if self.keep != 1 else []
        return ", ".join(words)


Plan = Linear | Recipe


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One way to transfer: which network, read where, and what is fitted on it."""

    backbone: str
    """Name of the card."""
    taps: tuple[str, ...]
    """Layers read; the codes of several are concatenated."""
    plan: Plan
    pool: Literal["average", "max"] = "average"
    views: int = 1
    input_px: int = 224

    @property
    def key(self) -> str:
        """16 hexadecimal digits that name the candidate."""
        return digest_of(self)

    @property
    def layer(self) -> str:
        """The layers that a head reads as they are, or up to which nothing moves, as people read them."""
        if isinstance(self.plan, Recipe):
            return self.plan.freeze_to or NOTHING_FROZEN
        return " + ".join(self.taps) if len(self.taps) < 4 else f"all {len(self.taps)} layers"

    @property
    def label(self) -> str:
        """A line in a table."""
        if isinstance(self.plan, Recipe):
            return self.plan.label
        seen = f", {self.views} views" if self.views > 1 else ""
        return f"{self.layer}, {self.plan.loss}{seen}"


def labels_of(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """A line in a table for each candidate, with its network where there are several."""
    if len({candidate.backbone for candidate in candidates}) < 2:
        return tuple(candidate.label for candidate in candidates)
    return tuple(f"{_short(candidate.backbone)}: {candidate.label}" for candidate in candidates)


def frozen_depth(candidate: Candidate, cards: Sequence[BackboneCard]) -> float:
    """Return the depth up to which a candidate moves nothing; NaN where that is no single layer of a known network."""
    if isinstance(candidate.plan, Recipe) and candidate.plan.freeze_to is None:
        return 0.0
    taps = [tap for card in cards if card.name == candidate.backbone for tap in card.taps]
    return next((tap.depth for tap in taps if tap.name == candidate.layer), math.nan)


def cost_to_use(candidate: Candidate, cards: Sequence[BackboneCard]) -> float:
    """Return billions of multiply-accumulates to predict one image, but for the head; more where weights were moved.

    All layers of a network cost the same: its codes come from one forward pass, whichever is read. A tuned network
    costs as much again times the share of it that was moved: it has to be trained, kept and run for this task alone.
    """
    depth = 1.0 if isinstance(candidate.plan, Linear) else frozen_depth(candidate, cards)
    gmacs = next((card.gmacs for card in cards if card.name == candidate.backbone), None) or 1.0
    return gmacs * candidate.views * (2 - (0.0 if math.isnan(depth) else depth))


def all_the_way(candidate: Candidate) -> Candidate:
    """Return the training that a fine-tuning takes its share of: one serves every share."""
    return dataclasses.replace(candidate, plan=dataclasses.replace(recipe_of(candidate), keep=1.0))


def recipe_of(candidate: Candidate) -> Recipe:
    """Return the plan of a candidate that is known to be a fine-tuning."""
    assert isinstance(candidate.plan, Recipe)
    return candidate.plan


def _short(backbone: str) -> str:
    return backbone.partition(":")[2].rpartition("/")[2].removesuffix(".safetensors") or backbone


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
