"""Plans: what is intended with a backbone, before it happens."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from graftwork.core.facts import BackboneCard, Pool, digest_of

Loss = Literal["softmax", "svm"]
Normalise = Literal["standard", "l2"]
Augment = Literal["none", "crop"]
Kind = Literal["linear", "partial", "full", "scratch"]
"""A linear classifier on codes; fine-tuning above a frozen layer, or of all layers; training from random weights."""
NOTHING_FROZEN = "the input"


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear classifier on codes: the network's own weights stay as they are."""

    loss: Loss = "softmax"
    """Multinomial logistic regression, or a linear SVM (squared hinge, one against the rest)."""
    normalise: Normalise = "standard"
    """Codes with mean 0 and variance 1 in every dimension, or of length 1."""

    @property
    def kind(self) -> Kind:
        """Which kind of transfer this is."""
        return "linear"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A fine-tuning: which layers are trained, for how long and how fast.

    The head starts as the solved linear model on the last layer's codes (LP-FT, Kumar et al. 2022).
    """

    freeze_to: str | None
    """This layer and all below it are frozen; None trains every layer."""
    epochs: int
    batch_size: int = 32
    lr: float = 1e-3
    """Learning rate of AdamW, for the head and the top of the body."""
    layer_decay: float = 0.8
    """The learning rate of each stage is this factor times that of the stage above it: with 0.65, -0.4 points (-2.8 to
    2.0) in 7 cells; 1 was measured with a former learning rate only, -0.1 (``benchmarks/recipes.py``)."""
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    """With 0, -1.5 points (-3.6 to 0.6) in 7 cells (``benchmarks/recipes.py``)."""
    augment: Augment = "crop"
    """``crop``: a random part of the image in each epoch, mirrored with probability one half."""
    cached_augmentations: int = 0
    """Number of augmented views of each image whose activations at the frozen layer are computed once and cached;
    0 runs the whole network in every epoch."""
    input_px: int | None = None
    """Side of the images that it is trained on and used with; None: the network's own input."""
    start: Literal["pretrained", "random"] = "pretrained"
    alpha: float = 1.0
    """The weights used are ``(1 - alpha) * start + alpha * fine-tuned``, those of the head included (WiSE-FT, Wortsman
    et al. 2022); 1 uses the fine-tuned weights, 0 the pretrained network and the linear model."""
    patience: int | None = None
    """Training stops early after this many epochs without a lower log loss on validation images; None runs all."""
    stop_at: int | None = None
    """Epoch after which training ends, on the learning rate schedule of all ``epochs``: where early stopping ended in
    cross-validation, so that the refit on all images needs no validation images."""

    @property
    def kind(self) -> Kind:
        """Which kind of transfer this is."""
        if self.start == "random":
            return "scratch"
        return "full" if self.freeze_to is None else "partial"

    @property
    def label(self) -> str:
        """What is trained, in words."""
        if self.start == "random":
            return "from scratch"
        words = "all layers tuned" if self.freeze_to is None else f"tuned above {self.freeze_to}"
        words = words if self.input_px is None else f"{words} at {self.input_px} px"
        return words if self.alpha == 1 else f"{words}, WiSE-FT alpha {self.alpha:g}"


Plan = Linear | Recipe


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One way to transfer: which network, which layers, and what is fitted on them."""

    backbone: str
    """Name of the card."""
    taps: tuple[str, ...]
    """Layers that give the codes; those of several are concatenated."""
    plan: Plan
    pool: Pool = "average"
    views: int = 1
    input_px: int = 224

    @property
    def key(self) -> str:
        """16 hexadecimal digits that name the candidate."""
        return digest_of(self)

    @property
    def layer(self) -> str:
        """The layers under a linear head, or the last frozen layer, as people read them."""
        if isinstance(self.plan, Recipe):
            return self.plan.freeze_to or NOTHING_FROZEN
        return " + ".join(self.taps) if len(self.taps) < 4 else f"all {len(self.taps)} layers"

    @property
    def label(self) -> str:
        """A line in a table."""
        several = f", {self.views} views" if self.views > 1 else ""
        if isinstance(self.plan, Recipe):
            return f"{self.plan.label}{several}"
        return f"{self.layer}, {self.plan.loss}{several}"

    @property
    def smaller_px(self) -> int | None:
        """Side of its images where that is not the network's own input."""
        return self.plan.input_px if isinstance(self.plan, Recipe) else None

    @property
    def views_before(self) -> int:
        """Over how many views codes of the network are averaged before anything is trained."""
        return 1 if isinstance(self.plan, Recipe) else self.views


def linear_of(candidate: Candidate) -> Linear:
    """Return the plan of a candidate that is known to be linear."""
    assert isinstance(candidate.plan, Linear)
    return candidate.plan


def recipe_of(candidate: Candidate) -> Recipe:
    """Return the plan of a candidate that is known to be a fine-tuning."""
    assert isinstance(candidate.plan, Recipe)
    return candidate.plan


def training_of(candidate: Candidate) -> Candidate:
    """Return the training behind a fine-tuning: one serves every alpha, and every number of views."""
    return dataclasses.replace(candidate, views=1, plan=dataclasses.replace(recipe_of(candidate), alpha=1.0))


def labels_of(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """A line in a table for each candidate, with its network where there are several."""
    if len({candidate.backbone for candidate in candidates}) < 2:
        return tuple(candidate.label for candidate in candidates)
    return tuple(f"{_short(candidate.backbone)}: {candidate.label}" for candidate in candidates)


def frozen_depth(candidate: Candidate, cards: Sequence[BackboneCard]) -> float:
    """Return the depth up to which a candidate freezes; NaN where that is no single layer of a known network."""
    if candidate.layer == NOTHING_FROZEN:
        return 0.0
    taps = [tap for card in cards if card.name == candidate.backbone for tap in card.taps]
    return next((tap.depth for tap in taps if tap.name == candidate.layer), math.nan)


def cost_to_use(candidate: Candidate, cards: Sequence[BackboneCard]) -> float:
    """Return billions of multiply-accumulates to predict one image, without the head; more where weights were trained.

    All layers of a network cost the same: one forward pass gives the codes of every layer. A fine-tuned network costs
    up to twice as much, in proportion to the share of it that was trained: it has to be trained, stored and run for
    this task alone.
    """
    depth = 1.0 if candidate.plan.kind == "linear" else frozen_depth(candidate, cards)
    card = next((card for card in cards if card.name == candidate.backbone), None)
    gmacs = (card and card.gmacs) or 1.0
    smaller = (candidate.smaller_px / card.preprocess.input_px) ** 2 if card and candidate.smaller_px else 1.0
    return gmacs * smaller * candidate.views * (2 - (0.0 if math.isnan(depth) else depth))


def linear_candidates(
    card: BackboneCard,
    *,
    layers: tuple[str, ...] | None = None,
    losses: tuple[Loss, ...] = ("softmax", "svm"),
    normalise: Normalise = "standard",
    pool: Pool = "average",
    views: int = 1,
) -> tuple[Candidate, ...]:
    """Return the linear classifiers worth trying on a backbone, by rising depth, the concatenation last.

    Parameters
    ----------
    layers
        Concatenate these, and try nothing else; None tries every layer and all of them together.
    """
    names = tuple(tap.name for tap in card.taps)
    every = [(name,) for name in names] + ([names] if len(names) > 1 else [])
    sets = every if layers is None else [layers]
    plans = [Linear(loss, normalise) for loss in losses]
    size = card.preprocess.input_px
    return tuple(Candidate(card.name, taps, plan, pool, views, size) for taps in sets for plan in plans)


def _short(backbone: str) -> str:
    return backbone.partition(":")[2].rpartition("/")[2].removesuffix(".safetensors") or backbone
