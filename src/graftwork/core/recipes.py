"""Which fine-tunings are worth trying on a number of images: pure functions of the facts (in the manner of BiT).

Constants say which cells (a data set, a network, images a class and a seed; ``benchmarks/RESULTS.md``) set them; of
those that name none, no other value was measured.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re

from graftwork.core.facts import BackboneCard
from graftwork.core.options import FineTuneOptions
from graftwork.core.plans import Candidate, Recipe
from graftwork.errors import BackboneError, UsageError, did_you_mean

CUTS = (2 / 3, 1 / 2)
"""Depths near which a network is cut, where only the layers above are trained, on cached activations: the first was
measured (118 cells, ``benchmarks/strategies.py``), other depths were not."""
LOWEST = 0.2
"""Depth near which the lowest stages end. Frozen, they save a third of the seconds of all layers at 224 px, since their
maps are the largest, and cost no accuracy (+0.2 points in 7 cells, ``benchmarks/schedules.py``). Activations there are
too large to cache."""
LOWEST_FROM_PX = 160
"""Input from which that is tried: at 96 px it takes 0.87 of the seconds of all layers and is as accurate (-0.1 points;
median and mean of 118 cells, ``benchmarks/strategies.py``), so that trying both would cost time and decide nothing."""
WISE_FT_ALPHA = 0.5
"""Where the weights are interpolated between the linear model and the fine-tuned network, in addition to 1 (Wortsman et
al. 2022): more accurate than 1 in 29 of 118 cells (``benchmarks/strategies.py``), and it costs no training."""
CACHED_AUGMENTATIONS = 8
"""Augmented views whose activations are cached: one or two lose 2 points on the mean of 5 cells of 20 images a class,
and nothing in the one of all images (rsscn7, 64 a class; ``benchmarks/cached_views.py``); more were not measured."""
SMALLER = 5 / 7
"""A smaller input, as a share of the network's own: 160 for 224 px loses 0.6 points in 8 cells at 0.55 of the seconds;
128 px lost 2.4 in 2 (``benchmarks/schedules.py``)."""
SMALLEST_PX = 96
"""64 instead of 96 px lost 3.6 points at 0.7 of the seconds (mean and median of 118 cells,
``benchmarks/strategies.py``)."""
SCRATCH_IMAGES = 20_000
"""From this number of images on, random weights are tried unasked."""
_EPOCHS = 270.0
"""With half and with a third of the epochs that follow from it, -1.1 points (-3.4 to 1.1, and -3.9 to 1.7) in 7 cells
(``benchmarks/recipes.py``); more were not measured."""
_FEWEST_EPOCHS, _MOST_EPOCHS = 4, 30
_SCRATCH_TIMES = 4
_BATCHES_PER_EPOCH = 8
_FULL_BATCH = 32
_LR = 1e-3
"""Learning rate of a full batch; that of a smaller batch, whose gradient is noisier, is proportionally lower (Goyal et
al. 2017). The full rate for every batch lost 2.9 points on the mean of 11 cells and up to 11 with 40 images; 0.0003 and
0.0005 for every batch lost 0.5 and 1.5 in 13 cells, and 0.003 lost 19 in 7 (``benchmarks/recipes.py``)."""


def epochs_for(images: int) -> int:
    """Return the number of epochs: 30 for eighty images or fewer, 12 for five hundred, 4 from some thousands on."""
    return int(min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, round(_EPOCHS / math.sqrt(max(images, 1))))))


def smaller_px(input_px: int) -> int | None:
    """Return the smaller input that is tried besides a network's own: 160 for 224 px; None where that is small."""
    smaller = 32 * round(SMALLER * input_px / 32)
    return smaller if SMALLEST_PX <= smaller < input_px else None


def recipe(
    images: int,
    freeze_to: str | None = None,
    *,
    scratch: bool = False,
    batch_size: int | None = None,
    input_px: int | None = None,
    cached: bool = False,
) -> Recipe:
    """Return how to fine-tune on this number of images: first the head, then the layers above the cut (Kumar et al.
    2022).

    Mixup, L2-SP, training norms alone, LoRA, weight averaging and other constants were tried and gained nothing
    (``benchmarks/recipes.py``).

    Parameters
    ----------
    batch_size
        Images per step; None takes an eighth of the images, between 8 and 32. The learning rate follows it.
    input_px
        A smaller input than the network's own.
    cached
        Whether activations at the frozen layer are cached.
    """
    epochs = epochs_for(images)
    batch = batch_size or min(_FULL_BATCH, max(8, images // _BATCHES_PER_EPOCH))
    if scratch:
        return Recipe(None, _SCRATCH_TIMES * epochs, batch, lr=2e-3, layer_decay=1.0, start="random")
    lr = _LR * min(1, batch / _FULL_BATCH)
    return Recipe(
        freeze_to, epochs, batch, lr, cached_augmentations=CACHED_AUGMENTATIONS if cached else 0, input_px=input_px
    )


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
    taps = [tap for tap in card.taps if not tap.extra]
    names = [tap.name for tap in taps]
    number = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", layer)
    if layer in names:
        count = names.index(layer) + 1
    elif number and number[2]:
        count = sum(tap.depth <= float(number[1]) / 100 for tap in taps)
    elif layer.isdecimal():
        count = int(layer)
    else:
        raise BackboneError(
            f"{card.name} must have the layer {layer} to be frozen up to it, but has none{did_you_mean(layer, names)}; "
            f"choose of {', '.join(names)}, a number of layers or a per cent of depth"
        )
    if not count:
        raise UsageError(f"--freeze-to {layer} freezes no layer of {card.name}; leave it out to tune them all")
    if count >= len(names) or taps[count - 1].depth >= 1:
        raise UsageError(
            f"--freeze-to {layer} leaves no layer of {card.name} to tune; use --strategy linear, which trains a linear "
            f"classifier alone, or freeze up to one of {', '.join(tap.name for tap in taps if tap.depth < 1)}"
        )
    return names[count - 1]


def cut_layers(card: BackboneCard) -> tuple[tuple[str, ...], str | None]:
    """Return the layers above which a network is tuned by default: those nearest to ``CUTS``, and to ``LOWEST``.

    None where the network has no layer so low that it is not one of the others.
    """
    inner = [tap for tap in card.taps if tap.depth < 1 and not tap.extra]
    if not inner:
        return (), None
    *cuts, lowest = [min(inner, key=lambda tap: abs(tap.depth - cut)).name for cut in (*CUTS, LOWEST)]
    return tuple(dict.fromkeys(cuts)), lowest if lowest not in cuts else None


def fine_tuning_candidates(
    card: BackboneCard, images: int, options: FineTuneOptions, *, smaller: int | None = None
) -> tuple[Candidate, ...]:
    """Return the fine-tunings worth trying on this number of images, the user's values in place of the recipe's.

    Parameters
    ----------
    smaller
        Side of a smaller input in pixels that is worth trying; None: none is.

    Raises
    ------
    BackboneError, UsageError
        As ``layer_to_freeze``.
    """
    of = functools.partial(recipe, images, batch_size=options.batch_size)
    if options.freeze_to is not None:
        plans = [of(layer_to_freeze(card, options.freeze_to), cached=True)]
    else:
        cuts, lowest = cut_layers(card)
        plans = [of(cut, cached=True) for cut in cuts]
        pays = card.preprocess.input_px >= LOWEST_FROM_PX
        plans += [of(layer) for layer in dict.fromkeys((lowest if pays else None, None))]
        plans += [of(lowest, input_px=smaller)] if smaller is not None else []
    if options.scratch or images >= SCRATCH_IMAGES:
        plans.append(recipe(images, None, scratch=True, batch_size=options.batch_size))
    plans = [dataclasses.replace(plan, **options.recipe_values) for plan in plans]  # type: ignore[arg-type]
    if options.augment == "none":  # then an image looks the same in every epoch
        plans = [dataclasses.replace(plan, cached_augmentations=min(plan.cached_augmentations, 1)) for plan in plans]
    last = card.taps[-1]
    own = card.preprocess.input_px
    return tuple(Candidate(card.name, (last.name,), plan, input_px=plan.input_px or own) for plan in plans)
