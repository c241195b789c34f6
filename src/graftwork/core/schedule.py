"""Which fine-tunings the time allows, and in which order they are tried: pure functions of forecasts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from graftwork.core.advice import WORTH_POINTS
from graftwork.core.plans import Candidate, Recipe, recipe_of

FEWEST_JUDGED = 20
"""Validation images of the first folds: on fewer, any two candidates look alike or far apart by chance."""
REFIT_MARGIN = 1.08
"""Seconds of the refit on all develop images, as a multiple of what a fold of as many images would take."""
SHORTEST = 0.5
"""Share of its epochs that a shortened fine-tuning keeps; half of them cost 1.1 points on the mean of seven sets and up
to 4.5 (``benchmarks/recipes.py``), as much as fine-tuning gains over the best linear model."""
_FEWEST_EPOCHS = 4


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Seconds that parts of a fine-tuning are expected to take."""

    view_seconds: float
    """To cache the activations of all images in one augmented view."""
    epoch_seconds: float
    """One epoch of one fold."""
    views_done: int = 0
    """Augmented views whose activations are cached already."""

    def once(self, plan: Recipe) -> float:
        """Before the first fold."""
        begun_with = plan.input_px is not None  # the linear model on codes of this input, which nothing else needs
        return self.view_seconds * (max(0, plan.cached_augmentations - self.views_done) + begun_with)

    def fold(self, plan: Recipe) -> float:
        """One fold, without what is done once."""
        return self.epoch_seconds * plan.epochs


@dataclasses.dataclass(frozen=True)
class Entered:
    """The fine-tunings whose first folds fit into the time, in the order in which they are tried."""

    candidates: tuple[Candidate, ...]
    refit: bool = True
    """Whether there is time to fit the chosen one again on all images; else the model of its first fold is used."""


def worth_trying(
    candidates: Sequence[Candidate],
    forecasts: Mapping[str, Forecast],
    points: Mapping[str, float],
    seconds: float,
    *,
    refit: float,
    folds: int = 1,
) -> Entered:
    """Return the fine-tunings whose first folds fit into the time, by expected gain per second.

    The clock goes first to the one that would be advised: the fastest of those that fit and are expected to come
    within ``WORTH_POINTS`` of the best that fits. Others take from what it leaves, and the longest of all must be
    fitted again on all images. Where not even one fits, one is tried without the refit; where that does not fit
    either, with fewer epochs.

    Parameters
    ----------
    forecasts
        Of each candidate by its key.
    points
        Expected gain over the best linear model by key; one without is tried after the others.
    refit
        Seconds of the refits, as a multiple of one fold.
    folds
        Number of folds that it takes to judge one candidate (``folds_to_judge``).
    """

    def takes(candidate: Candidate) -> float:
        forecast, plan = forecasts[candidate.key], recipe_of(candidate)
        return forecast.once(plan) + folds * forecast.fold(plan)

    def fold(candidate: Candidate) -> float:
        return forecasts[candidate.key].fold(recipe_of(candidate))

    def gain(candidate: Candidate) -> float:
        return points.get(candidate.key, -math.inf)

    def per_second(candidate: Candidate) -> float:
        expected = gain(candidate)
        return (
            expected / max(takes(candidate), 1e-9) if expected > 0 else expected
        )  # a loss is none the better if it is slow

    order = sorted(candidates, key=per_second, reverse=True)
    fitting = [c for c in order if takes(c) + refit * fold(c) <= seconds]
    if fitting:
        best = max(map(gain, fitting))
        first = min((c for c in fitting if gain(c) >= best - WORTH_POINTS), key=takes)
        entered = [first]
        spent, longest = takes(first), fold(first)
        for candidate in (c for c in order if c is not first):
            if spent + takes(candidate) + refit * max(longest, fold(candidate)) <= seconds:
                entered.append(candidate)
                spent, longest = spent + takes(candidate), max(longest, fold(candidate))
        return Entered(tuple(sorted(entered, key=per_second, reverse=True)))
    alone = [_shortened(candidate, forecasts[candidate.key], seconds, folds) for candidate in order]
    whole = [short for short, candidate in zip(alone, order, strict=True) if short == candidate]
    return Entered(tuple(filter(None, [*whole, *alone]))[:1], refit=False)


def seconds_needed(candidate: Candidate, forecast: Forecast, *, refit: float, folds: int = 1) -> float:
    """Return the seconds in which one fine-tuning is judged and fitted; ``refit`` and ``folds`` as ``worth_trying``."""
    plan = recipe_of(candidate)
    return forecast.once(plan) + (folds + refit) * forecast.fold(plan)


def refit_folds(n_folds: int) -> float:
    """Return the seconds of a refit on all develop images, as a multiple of one of these folds."""
    return REFIT_MARGIN * n_folds / (n_folds - 1)


def folds_to_judge(images: int, n_folds: int) -> int:
    """Return the number of folds that hold enough images to tell one candidate from another."""
    return min(n_folds, math.ceil(FEWEST_JUDGED * n_folds / max(images, 1)))


def _shortened(candidate: Candidate, forecast: Forecast, seconds: float, folds: float) -> Candidate | None:
    """Return a fine-tuning with the largest number of epochs for which the folds fit; None where it is too small.

    The number of cached augmentations is never above the number of epochs.
    """
    plan = recipe_of(candidate)
    shorter = (
        dataclasses.replace(plan, epochs=epochs, cached_augmentations=min(plan.cached_augmentations, epochs))
        for epochs in range(plan.epochs, max(_FEWEST_EPOCHS, math.ceil(SHORTEST * plan.epochs)) - 1, -1)
    )
    fitting = (short for short in shorter if forecast.once(short) + folds * forecast.fold(short) <= seconds)
    longest = next(fitting, None)
    return None if longest is None else dataclasses.replace(candidate, plan=longest)
