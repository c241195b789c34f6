"""Shares of classes, the bootstrap over groups, and critical values for many differences at once."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from graftwork.core.arrays import Floats, Ints, Mask
from graftwork.core.facts import Metric
from graftwork.core.intervals import LEVEL, share_interval


@dataclasses.dataclass(frozen=True)
class Share:
    """A count as a share, with its interval."""

    hits: int
    of: int
    value: float | None
    """None where there is nothing to count."""
    low: float | None
    high: float | None
    """None where the images are too few groups."""


def share(hits: Mask, groups: Ints) -> Share:
    """Return how many of some images count, (n,), with the interval; their groups (n,) are respected."""
    interval = share_interval(hits, groups)
    n = len(hits)
    return Share(int(hits.sum()), n, float(hits.mean()) if n else None, interval.low, interval.high)


def recall_and_precision(
    y: Ints, predicted: Ints, groups: Ints, n_classes: int
) -> tuple[tuple[Share, ...], tuple[Share, ...]]:
    """Recall and precision of each class, from the true and the predicted class and the group of each image, (n,)."""
    hits = y == predicted
    recall, precision = (
        tuple(share(hits[of == c], groups[of == c]) for c in range(n_classes)) for of in (y, predicted)
    )
    return recall, precision


def bootstrap_weights(y: Ints, groups: Ints, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Counts with which each image enters each of ``draws`` resamples, whole groups at a time.

    Groups are drawn with replacement within strata; a group's stratum is the class it holds most of, so that
    every resample has about as many images of each class as the data.

    Returns
    -------
    (draws, n) weights.
    """
    _, member = np.unique(groups, return_inverse=True)
    n_groups = int(member.max()) + 1
    k = int(y.max()) + 1
    votes = np.bincount(member * k + y, minlength=n_groups * k).reshape(n_groups, k)
    stratum = votes.argmax(axis=1)
    counts = np.zeros((draws, n_groups))
    for s in np.unique(stratum):
        inside = np.flatnonzero(stratum == s)
        size = len(inside)
        drawn = rng.integers(0, size, (draws, size)) + size * np.arange(draws)[:, None]
        counts[:, inside] = np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size)
    return counts[:, member]


def one_group_deviation(metric: Metric, y: Ints, groups: Ints) -> float:
    """Return the standard deviation, over resamples, of a loss that is 1 on the images of one group and 0 on others.

    The group is one of typical weight; log loss, which two classifiers never share by chance, has none.
    """
    if metric == "log-loss":
        return 0.0
    weight = np.full(len(y), 1 / len(y))
    if metric != "accuracy":
        count = np.bincount(y)
        weight = 1 / (count[y] * np.count_nonzero(count))
    per_group = np.bincount(np.unique(groups, return_inverse=True)[1], weight)
    return float(np.square(per_group).mean() ** 0.5)


def shared_training(folds_run: int, n_folds: int) -> float:
    """Return by how much an interval of out-of-fold figures is wider than one that takes the classifiers as given.

    The classifiers of the folds share training images, so what they happened to learn does not average out over the
    folds; resampling their rows does not see it. The variance is ``1 + J / (k - 1)`` times what it sees for J of k
    folds (Nadeau and Bengio 2003, equation 9, with a test part of n / k).
    """
    return float((1 + folds_run / (n_folds - 1)) ** 0.5)


def all_pairs_critical_value(deviations: Floats, level: float = LEVEL) -> float:
    """Return the max-T critical value for every pairwise difference of m candidates at once.

    The best candidate is picked by looking at the data, so a comparison with it must hold for any pair
    (Tukey's argument, by resampling: Westfall and Young 1993).

    Parameters
    ----------
    deviations
        (B, m) resampled losses minus the losses of the data.
    """
    draws, m = deviations.shape
    largest = np.zeros(draws)
    for i in range(m - 1):
        pairs = deviations[:, i + 1 :] - deviations[:, i : i + 1]
        spread = pairs.std(axis=0)
        pairs = np.divide(np.abs(pairs), spread, out=np.zeros_like(pairs), where=spread > 0)
        np.maximum(largest, pairs.max(axis=1), out=largest)
    # rows that agree everywhere have no spread: then the value of one normal difference
    return float(np.quantile(largest, level)) or float(ndtri((1 + level) / 2))
