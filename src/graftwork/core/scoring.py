"""Scores of probability rows with their intervals, and losses on resamples of the images for paired differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats, Ints
from graftwork.core.facts import Metric
from graftwork.core.figures import with_interval
from graftwork.core.intervals import score_interval
from graftwork.core.metrics import mean_loss, score_from_loss, weighted_loss
from graftwork.core.stats import bootstrap_weights

DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Score:
    """A figure with its interval at 95 %."""

    metric: Metric
    value: float
    low: float | None
    high: float | None
    """Ends of the interval; None where the images allow none."""
    images: int
    interval: str
    """How it was computed, such as ``exact (Clopper-Pearson)``, or why there is none."""

    @property
    def in_words(self) -> str:
        """With its unit and its interval."""
        return with_interval(self.metric, self.value, self.low, self.high)


def score(metric: Metric, y: Ints, probabilities: Floats, groups: Ints) -> Score:
    """Score probability rows (n, k) of images that were not used for any choice.

    Parameters
    ----------
    y, groups
        (n,) class indices, and numbers of the groups that images belong to.
    """
    interval = score_interval(metric, y, probabilities, groups)
    value = score_from_loss(metric, mean_loss(metric, y, probabilities))
    return Score(metric, value, interval.low, interval.high, len(y), interval.method)


def resampled_losses(
    metric: Metric, y: Ints, rows: Sequence[Floats], groups: Ints, *, seed: int, draws: int = DRAWS
) -> NDArray[np.float64]:
    """(draws, m) losses of m sets of probability rows on the same resamples of groups."""
    rng = np.random.default_rng(seed)
    losses = np.empty((draws, len(rows)))
    step = max(1, int(2e7) // len(y))  # 160 MB of weights at a time
    for begin in range(0, draws, step):
        weights = bootstrap_weights(y, groups, min(step, draws - begin), rng)
        for j, probabilities in enumerate(rows):
            losses[begin : begin + step, j] = weighted_loss(metric, y, probabilities, weights)
    return losses
