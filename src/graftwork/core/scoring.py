"""Scores of probability rows with their intervals: exact where images are independent, else a bootstrap over groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats, Ints
from graftwork.core.facts import Metric
from graftwork.core.metrics import mean_loss, score_from_loss, weighted_loss
from graftwork.core.stats import bootstrap_weights, clopper_pearson, percentile_interval

DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Score:
    """A figure with its interval at 95 %."""

    metric: Metric
    value: float
    low: float
    high: float
    images: int
    interval: str
    """How it was computed: ``exact (Clopper-Pearson)`` or ``bootstrap over N groups``."""


def score(metric: Metric, y: Ints, probabilities: Floats, groups: Ints, *, seed: int) -> Score:
    """Score probability rows (n, k) of images that were not used for any choice.

    Parameters
    ----------
    y, groups
        (n,) class indices, and numbers of the groups that images belong to.
    """
    draws = resampled_losses(metric, y, [probabilities], groups, seed=seed)[:, 0]
    low, high = score_interval(metric, y, probabilities, groups, draws)
    n_groups = len(np.unique(groups))
    exact = metric == "accuracy" and n_groups == len(y)
    how = "exact (Clopper-Pearson)" if exact else f"bootstrap over {n_groups} groups"
    return Score(metric, score_from_loss(metric, mean_loss(metric, y, probabilities)), low, high, len(y), how)


def score_interval(metric: Metric, y: Ints, probabilities: Floats, groups: Ints, draws: Floats) -> tuple[float, float]:
    """Interval of one score at 95 %: exact for the accuracy of independent images, else from bootstrap losses."""
    if metric == "accuracy" and len(np.unique(groups)) == len(y):
        return clopper_pearson(int((probabilities.argmax(axis=1) == y).sum()), len(y))
    low, high = percentile_interval(draws)
    return (low, high) if metric == "log-loss" else (1 - high, 1 - low)


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
