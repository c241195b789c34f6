"""Which fine-tunings are worth trying, and in which order: pure functions of the facts (in the manner of BiT)."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Candidate, Recipe, recipe_of
from graftwork.errors import BackboneError, UsageError

CUTS = (2 / 3, 1 / 2)
"""Depths near which the network is cut, where only what lies above is tuned."""
HALFWAY = 0.5
FIXED_VIEWS = 8
SCRATCH_IMAGES = 20_000
"""From so many images on, random weights are tried unasked."""
FEWEST_JUDGED = 20
"""Images without which nothing is tried: on fewer, any two candidates look alike or far apart by chance."""
_EPOCHS = 270.0
_FEWEST_EPOCHS, _MOST_EPOCHS = 4, 30
_SHORTEST = 0.5
"""Share of its epochs that a fine-tuning keeps at the least: half of them cost 1.1 points on the mean of seven sets and
up to 4.5 (``benchmarks/recipes.py``), as much as fine-tuning gains over the best linear model."""
_SCRATCH_TIMES = 4
_FEW_IMAGES_A_BATCH = 8
_FULL_BATCH = 32
_LR = 1e-3
"""Of a full batch; a smaller one, whose gradient is noisier, goes as much more slowly (Goyal et al. 2017): at the rate
of a full batch, 40 images lost up to 11 points (``benchmarks/recipes.py``)."""

EXPECTED_POINTS = {"partial": 2.2, "full": 3.3, "scratch": -15.0}
"""What a fine-tuning gained over the best linear model, the mean over sizes of nine sets (``benchmarks/strategies.py``;
2.0 to 2.6 and 2.9 to 3.5 with any one set left out). It orders what is tried, no more."""


def epochs_for(images: int) -> int:
    """Passes over the images: 30 for a hundred or fewer, 12 for five hundred, 4 from some thousands on."""
    return int(min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, round(_EPOCHS / math.sqrt(max(images, 1))))))


def recipe(
    images: int, freeze_to: str | None = None, *, scratch: bool = False, batch_size: int | None = None
) -> Recipe:
    """Return how to fine-tune on so many images: first the head, then what lies above the cut (Kumar et al. 2022).

    Mixed images, L2-SP, norms alone, low ranks, averaged weights and other constants were tried and gained nothing
    (``benchmarks/recipes.py``).

    Parameters
    ----------
    batch_size
        Images a step; None takes as many as suit the images, up to 32. The rate follows it.
    """
    epochs = epochs_for(images)
    batch = batch_size or min(_FULL_BATCH, max(8, images // _FEW_IMAGES_A_BATCH))
    if scratch:
        return Recipe(None, _SCRATCH_TIMES * epochs, batch, lr=2e-3, layer_decay=1.0, start="random")
    lr = _LR * min(1, batch / _FULL_BATCH)
    return Recipe(freeze_to, epochs, batch, lr, fixed_views=FIXED_VIEWS if freeze_to is not None else 0)


def layer_to_freeze(card: BackboneCard, asked: str) -> str:
    """Return the layer up to which nothing moves.

    Parameters
    ----------
    asked
        A layer's name, ``N`` for the first N layers, or ``P%`` for the deepest layer with at most P per cent of the
        network below it.

    Raises
    ------
    BackboneError
        When the card has no such layer; near names are listed.
    UsageError
        When nothing would be frozen, or everything.
    """
    names = [tap.name for tap in card.taps]
    number = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", asked)
    if asked in names:
        count = names.index(asked) + 1
    elif number and number[2]:
        count = sum(tap.depth <= float(number[1]) / 100 for tap in card.taps)
    elif asked.isdecimal():
        count = int(asked)
    else:
        raise BackboneError(
            f"{card.name} must have the layer {asked} to be frozen up to it, but has none{_near(asked, names)}; "
            f"choose of {', '.join(names)}, a number of layers or a per cent of depth"
        )
    if not count:
        raise UsageError(f"--freeze-to {asked} freezes no layer of {card.name}; leave it out to tune them all")
    if count >= len(names) or card.taps[count - 1].depth >= 1:
        raise UsageError(
            f"--freeze-to {asked} leaves nothing of {card.name} to tune; use --strategy linear, which leaves the "
            f"network alone, or freeze up to one of {', '.join(tap.name for tap in card.taps if tap.depth < 1)}"
        )
    return names[count - 1]


def cut_layers(card: BackboneCard) -> tuple[str, ...]:
    """Return the layers above which a network is tuned unasked, the highest first: those nearest to ``CUTS``."""
    inner = [tap for tap in card.taps if tap.depth < 1]
    near = [min(inner, key=lambda tap: abs(tap.depth - cut)).name for cut in CUTS] if inner else []
    return tuple(dict.fromkeys(near))


def tuning_candidates(
    card: BackboneCard,
    images: int,
    *,
    freeze_to: str | None = None,
    scratch: bool | None = None,
    batch_size: int | None = None,
) -> tuple[Candidate, ...]:
    """Return the fine-tunings worth trying on so many images.

    Parameters
    ----------
    freeze_to
        The one cut to try, as ``layer_to_freeze`` reads it; None tries those of ``cut_layers``, and all layers.
    scratch
        Whether random weights are tried; None where there are images enough.
    batch_size
        As ``recipe``.

    Raises
    ------
    BackboneError, UsageError
        As ``layer_to_freeze``.
    """
    cuts: list[str | None] = [*cut_layers(card), None] if freeze_to is None else [layer_to_freeze(card, freeze_to)]
    plans = [recipe(images, cut, batch_size=batch_size) for cut in cuts]
    if scratch or (scratch is None and images >= SCRATCH_IMAGES):
        plans.append(recipe(images, None, scratch=True, batch_size=batch_size))
    last = card.taps[-1]
    return tuple(Candidate(card.name, (last.name,), plan, input_px=card.preprocess.input_px) for plan in plans)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a fine-tuning is expected to take, in seconds."""

    view: float
    """Of keeping all activations in one view."""
    epoch: float
    """Of one fold."""

    def once(self, plan: Recipe) -> float:
        """Before the first fold."""
        return self.view * plan.fixed_views

    def fold(self, plan: Recipe) -> float:
        """One fold, without what is done once."""
        return self.epoch * plan.epochs


def worth_trying(
    candidates: Sequence[Candidate], expected: Mapping[str, Expected], seconds: float, *, refit: float, folds: int = 1
) -> tuple[Candidate, ...]:
    """Return the fine-tunings whose first folds fit into the time, by what they are expected to gain a second.

    Each takes what those before it leave, and the longest of them must be fitted again on all images. Where not even
    one fits, the first that can goes with fewer epochs.

    Parameters
    ----------
    expected
        Of each candidate by its key.
    refit
        Seconds of the fit on all images, in those of a fold.
    folds
        How many it takes to judge one (``folds_to_judge``).
    """

    def takes(candidate: Candidate) -> float:
        of, plan = expected[candidate.key], recipe_of(candidate)
        return of.once(plan) + folds * of.fold(plan)

    order = sorted(candidates, key=lambda c: -_expected_points(c) / max(takes(c), 1e-9))
    entered: list[Candidate] = []
    spent, longest = 0.0, 0.0
    for candidate in order:
        fold = expected[candidate.key].fold(recipe_of(candidate))
        if spent + takes(candidate) + refit * max(longest, fold) <= seconds:
            entered.append(candidate)
            spent, longest = spent + takes(candidate), max(longest, fold)
    shorter = (_shortened(candidate, expected[candidate.key], seconds, folds + refit) for candidate in order)
    return tuple(entered) or tuple(filter(None, shorter))[:1]


def folds_to_judge(images: int, n_folds: int) -> int:
    """Return how many folds hold images enough to tell one candidate from another."""
    return min(n_folds, math.ceil(FEWEST_JUDGED * n_folds / max(images, 1)))


def _shortened(candidate: Candidate, expected: Expected, seconds: float, folds: float) -> Candidate | None:
    """Return a fine-tuning with the epochs of which so many folds fit; None where they are too few to tell anything.

    No image is seen in more views than there are epochs.
    """
    plan = recipe_of(candidate)
    shorter = (
        dataclasses.replace(plan, epochs=epochs, fixed_views=min(plan.fixed_views, epochs))
        for epochs in range(plan.epochs, max(_FEWEST_EPOCHS, math.ceil(_SHORTEST * plan.epochs)) - 1, -1)
    )
    fitting = (short for short in shorter if expected.once(short) + folds * expected.fold(short) <= seconds)
    found = next(fitting, None)
    return None if found is None else dataclasses.replace(candidate, plan=found)


def _expected_points(candidate: Candidate) -> float:
    plan = recipe_of(candidate)
    kind = "scratch" if plan.start == "random" else "full" if plan.freeze_to is None else "partial"
    return EXPECTED_POINTS[kind]


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 2)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
