"""Which fine-tunings are worth trying on a number of images: pure functions of the facts (in the manner of BiT)."""

from __future__ import annotations

import dataclasses
import math
import re

from graftwork.core.facts import BackboneCard
from graftwork.core.options import FineTuneOptions
from graftwork.core.plans import Candidate, Recipe
from graftwork.errors import BackboneError, UsageError, did_you_mean

CUTS = (2 / 3, 1 / 2)
"""Depths near which a network is cut, where only the layers above are trained."""
WISE_FT_ALPHA = 0.5
"""Where the weights are interpolated between the linear model and the fine-tuned network, in addition to 1."""
CACHED_AUGMENTATIONS = 8
SCRATCH_IMAGES = 20_000
"""From this number of images on, random weights are tried unasked."""
_EPOCHS = 270.0
_FEWEST_EPOCHS, _MOST_EPOCHS = 4, 30
_SCRATCH_TIMES = 4
_BATCHES_PER_EPOCH = 8
_FULL_BATCH = 32
_LR = 1e-3
"""Learning rate of a full batch; that of a smaller batch, whose gradient is noisier, is proportionally lower (Goyal et
al. 2017): at the full learning rate, 40 images lost up to 11 points (``benchmarks/recipes.py``)."""


def epochs_for(images: int) -> int:
    """Return the number of epochs: 30 for a hundred images or fewer, 12 for five hundred, 4 from some thousands on."""
    return int(min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, round(_EPOCHS / math.sqrt(max(images, 1))))))


def recipe(
    images: int, freeze_to: str | None = None, *, scratch: bool = False, batch_size: int | None = None
) -> Recipe:
    """Return how to fine-tune on this number of images: first the head, then the layers above the cut (Kumar et al.
    2022).

    Mixup, L2-SP, training norms alone, LoRA, weight averaging and other constants were tried and gained nothing
    (``benchmarks/recipes.py``).

    Parameters
    ----------
    batch_size
        Images per step; None takes an eighth of the images, between 8 and 32. The learning rate follows it.
    """
    epochs = epochs_for(images)
    batch = batch_size or min(_FULL_BATCH, max(8, images // _BATCHES_PER_EPOCH))
    if scratch:
        return Recipe(None, _SCRATCH_TIMES * epochs, batch, lr=2e-3, layer_decay=1.0, start="random")
    lr = _LR * min(1, batch / _FULL_BATCH)
    cached = CACHED_AUGMENTATIONS if freeze_to is not None else 0
    return Recipe(freeze_to, epochs, batch, lr, cached_augmentations=cached)


def layer_to_freeze(card: BackboneCard, layer: str) -> str:
    """Return the highest frozen layer.

    Parameters
    ----------
    layer
        A layer's name, ``N`` for the first N layers, or ``P%`` for the deepest layer that has no more than P per cent
        of the network below it.

    Raises
    ------
    BackboneError
        When the card has no such layer; near names are listed.
    UsageError
        When nothing would be frozen, or everything.
    """
    names = [tap.name for tap in card.taps]
    number = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", layer)
    if layer in names:
        count = names.index(layer) + 1
    elif number and number[2]:
        count = sum(tap.depth <= float(number[1]) / 100 for tap in card.taps)
    elif layer.isdecimal():
        count = int(layer)
    else:
        raise BackboneError(
            f"{card.name} must have the layer {layer} to be frozen up to it, but has none{did_you_mean(layer, names)}; "
            f"choose of {', '.join(names)}, a number of layers or a per cent of depth"
        )
    if not count:
        raise UsageError(f"--freeze-to {layer} freezes no layer of {card.name}; leave it out to tune them all")
    if count >= len(names) or card.taps[count - 1].depth >= 1:
        raise UsageError(
            f"--freeze-to {layer} leaves no layer of {card.name} to tune; use --strategy linear, which trains a linear "
            f"classifier alone, or freeze up to one of {', '.join(tap.name for tap in card.taps if tap.depth < 1)}"
        )
    return names[count - 1]


def cut_layers(card: BackboneCard) -> tuple[str, ...]:
    """Return the layers above which a network is tuned by default, the highest first: those nearest to ``CUTS``."""
    inner = [tap for tap in card.taps if tap.depth < 1]
    near = [min(inner, key=lambda tap: abs(tap.depth - cut)).name for cut in CUTS] if inner else []
    return tuple(dict.fromkeys(near))


def fine_tuning_candidates(card: BackboneCard, images: int, options: FineTuneOptions) -> tuple[Candidate, ...]:
    """Return the fine-tunings worth trying on this number of images, the user's values in place of the recipe's.

    Raises
    ------
    BackboneError, UsageError
        As ``layer_to_freeze``.
    """
    cuts: list[str | None] = [*cut_layers(card), None]
    if options.freeze_to is not None:
        cuts = [layer_to_freeze(card, options.freeze_to)]
    plans = [recipe(images, cut, batch_size=options.batch_size) for cut in cuts]
    if options.scratch or images >= SCRATCH_IMAGES:
        plans.append(recipe(images, None, scratch=True, batch_size=options.batch_size))
    plans = [dataclasses.replace(plan, **options.recipe_values) for plan in plans]  # type: ignore[arg-type]
    if options.augment == "none":  # then an image looks the same in every epoch
        plans = [dataclasses.replace(plan, cached_augmentations=min(plan.cached_augmentations, 1)) for plan in plans]
    last = card.taps[-1]
    return tuple(Candidate(card.name, (last.name,), plan, input_px=card.preprocess.input_px) for plan in plans)
