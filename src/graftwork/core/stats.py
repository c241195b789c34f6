"""Intervals: exact for counts, a bootstrap over groups where images are not independent."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from graftwork.core.arrays import Floats, Ints

LEVEL = 0.95


def clopper_pearson(hits: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson 1934); (0, 1) where there is nothing to count."""
    if n == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1 - tail))
    return low, high


@dataclasses.dataclass(frozen=True)
class Share:
    """A count as a share, with its exact interval."""

    hits: int
    of: int
    value: float | None
    """None where there is nothing to count."""
    low: float
    high: float


def share(hits: int, of: int) -> Share:
    """Return ``hits`` of ``of`` with the interval of Clopper and Pearson."""
    return Share(hits, of, hits / of if of else None, *clopper_pearson(hits, of))


def recall_and_precision(counts: Ints) -> tuple[tuple[Share, ...], tuple[Share, ...]]:
    """Recall and precision of each class from (k, k) counts: row the true class, column the predicted one."""
    hits = np.diag(counts)
    recall = tuple(share(int(h), int(of)) for h, of in zip(hits, counts.sum(axis=1), strict=True))
    precision = tuple(share(int(h), int(of)) for h, of in zip(hits, counts.sum(axis=0), strict=True))
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


def shared_training(folds_run: int, n_folds: int) -> float:
    """Return by how much an interval of out-of-fold figures is wider than one that takes the classifiers as given.

    The classifiers of the folds share training images, so what they happened to learn does not average out over the
    folds; resampling their rows does not see it. The variance is ``1 + J / (k - 1)`` times what it sees for J of k
    folds (Nadeau and Bengio 2003, equation 9, with a test part of n / k).
    """
    return float((1 + folds_run / (n_folds - 1)) ** 0.5)


def percentile_interval(draws: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Return the middle ``level`` of bootstrap draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


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
    return float(np.quantile(largest, level))
