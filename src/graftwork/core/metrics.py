"""Losses and measures of probability rows; every number shown to people is computed here or in ``stats``."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats, Ints
from graftwork.core.facts import Metric


def weighted_loss(metric: Metric, y: Ints, probabilities: Floats, weights: Floats) -> NDArray[np.float64]:
    """Loss of a set of probability rows under B weightings of its images; lower is better.

    Parameters
    ----------
    metric
        1 - accuracy, 1 - balanced accuracy, 1 - macro F1, or the mean negative log probability (nats).
        Classes that have no weight in a row are left out of balanced accuracy and macro F1.
    y
        (n,) class indices.
    probabilities
        (n, k) rows.
    weights
        (B, n) non-negative; a row of ones gives the plain loss, bootstrap counts give a resampled one.

    Returns
    -------
    (B,) losses.
    """
    weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if metric == "log-loss":
        return np.asarray(weights @ negative_log_likelihood(y, probabilities) / weights.sum(axis=1))
    k = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    hit = (predicted == y).astype(np.float64)
    if metric == "accuracy":
        return np.asarray(1.0 - weights @ hit / weights.sum(axis=1))
    actual = np.eye(k)[y]
    true = weights @ actual  # (B, k) images of each class
    correct = weights @ (actual * hit[:, None])
    present = true > 0
    if metric == "balanced-accuracy":
        per_class = np.divide(correct, true, out=np.zeros_like(correct), where=present)
    else:
        both = true + weights @ np.eye(k)[predicted]
        per_class = np.divide(2 * correct, both, out=np.zeros_like(correct), where=both > 0)
    return np.asarray(1.0 - (per_class * present).sum(axis=1) / present.sum(axis=1))


def mean_loss(metric: Metric, y: Ints, probabilities: Floats) -> float:
    """Return the plain loss of probability rows (n, k); lower is better."""
    return float(weighted_loss(metric, y, probabilities, np.ones(len(y)))[0])


def score_from_loss(metric: Metric, loss: float) -> float:
    """Return the figure people read: 1 - loss for shares, the loss itself for log loss."""
    return loss if metric == "log-loss" else 1.0 - loss


def negative_log_likelihood(y: Ints, probabilities: Floats) -> NDArray[np.float64]:
    """(n,) nats; a probability of zero counts as 1e-12, so that one sure mistake stays finite."""
    chosen = probabilities[np.arange(len(y)), y].astype(np.float64)
    return np.asarray(-np.log(np.maximum(chosen, 1e-12)))


def softmax(margins: Floats, temperature: float = 1.0) -> NDArray[np.float32]:
    """Rows (n, k) of decision values divided by the temperature, as probabilities."""
    scaled = margins.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled.astype(np.float32)


def confusion(y: Ints, predicted: Ints, k: int) -> NDArray[np.int64]:
    """(k, k) counts: row the true class, column the predicted one."""
    return np.bincount(np.asarray(y) * k + predicted, minlength=k * k).reshape(k, k)


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Reliability in bins of equal width of the top probability (Guo et al. 2017)."""

    confidence: NDArray[np.float64]
    """(bins,) mean top probability."""
    accuracy: NDArray[np.float64]
    """(bins,) share of hits."""
    count: NDArray[np.int64]
    """(bins,) images; empty bins are left out."""
    expected_error: float
    """Expected calibration error: the mean gap, weighted by images."""


def calibration(y: Ints, probabilities: Floats, bins: int = 10) -> Calibration:
    """Compare the confidence of the rows (n, k) with how often they are right."""
    top = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == y
    place = np.minimum((top * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    used = count > 0
    confidence = np.bincount(place, weights=top, minlength=bins)[used] / count[used]
    accuracy = np.bincount(place, weights=hit, minlength=bins)[used] / count[used]
    gap = float((np.abs(confidence - accuracy) * count[used]).sum() / max(len(y), 1))
    return Calibration(confidence, accuracy, count[used], gap)


def calibration_by_chance(probabilities: Floats, bins: int = 10, *, seed: int, draws: int = 200) -> float:
    """Return the calibration error that rows (n, k) would read on average if each were as right as it is sure.

    With few images the error is never 0, however good the probabilities; a measured one means little below this.
    """
    top = probabilities.max(axis=1).astype(np.float64)
    place = np.minimum((top * bins).astype(int), bins - 1)
    surplus = (np.random.default_rng(seed).random((draws, len(top))) < top) - top
    return float(np.abs(surplus @ np.eye(bins)[place]).sum(axis=1).mean() / max(len(top), 1))


@dataclasses.dataclass(frozen=True, eq=False)
class DoubtfulLabels:
    """Images whose given label the probabilities contradict, the most doubtful first."""

    rows: NDArray[np.int64]
    """(m,) positions among the rows that were judged."""
    suggested: NDArray[np.int64]
    """(m,) the class each of them looks like."""


def doubtful_labels(y: Ints, probabilities: Floats) -> DoubtfulLabels:
    """Find labels that look wrong from out-of-fold probability rows (n, k): confident learning.

    A class claims an image when its probability is at least the mean that the class gives to images labelled with
    it, so that a class with low probabilities is not held to the standard of one with high ones. An image is doubtful
    when the most confident claim is that of another class than its label, and above the label's (Northcutt, Jiang
    and Chuang 2021). Order: probability of the given label minus that of the suggested one, rising.
    """
    n, k = probabilities.shape
    own = probabilities[np.arange(n), y].astype(np.float64)
    size = np.bincount(y, minlength=k)
    usual = np.divide(np.bincount(y, weights=own, minlength=k), size, out=np.full(k, np.inf), where=size > 0)
    claims = np.where(probabilities >= usual, probabilities, -1.0)
    suggested = claims.argmax(axis=1)
    margin = own - claims.max(axis=1)
    rows = np.flatnonzero((suggested != y) & (claims.max(axis=1) > own))
    rows = rows[np.argsort(margin[rows], kind="stable")]
    return DoubtfulLabels(rows, suggested[rows])
