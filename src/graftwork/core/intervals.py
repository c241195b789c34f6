"""Intervals of scores at 95 %: honest at 0 and 100 %, with images that belong together, and with rare classes.

One method for every share (accuracy, balanced accuracy, macro-F1, the recall of a class): the score is taken as hits
among an *effective* number of independent images, and gets the exact interval of that count (Korn and Graubard 1998).
Images that are all independent and counted once each are their own effective number, so that the interval of their
accuracy is that of Clopper and Pearson. What makes the number smaller:

- Classes that weigh the same whatever their size: the variance of the score is that of its linearisation, at a
  confusion matrix that is shrunk towards one accuracy for all classes, since a class of two images that are both right
  has not shown that it has no errors.
- Groups: the design effect comes from the groups' own sums, divided by one less their leverage (Bell and McCaffrey
  2002), and leans towards that of groups that are right or wrong as a whole, as long as there are few errors.
- Few groups: a Student quantile, at the effective number of groups less one.

Log loss has no upper end. Its interval is that of a weighted sum of Poisson counts (Fay and Feuer 1997), which asks
what one more mistake would cost.

``benchmarks/intervals.py`` measures the coverage; ``docs/limits.md`` states it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, gammaincinv, ndtri, stdtrit

from graftwork.core.arrays import Floats, Ints, Mask
from graftwork.core.facts import Metric
from graftwork.core.metrics import confusion, negative_log_likelihood

LEVEL = 0.95
_UPPER = (1 + LEVEL) / 2
"""Where the upper end of an interval is in a distribution."""
LEAST_GROUPS = 3
"""With fewer groups there is no interval."""
_PRIOR_IMAGES = 2.0
"""Images by which the confusions of each class are shrunk towards those of one accuracy for all classes."""
_PRIOR_MISTAKES = 2.0
"""Mistakes that the groups' design effect leans on before those of the data."""
_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class Interval:
    """Where a score of the population is, with a confidence of 95 %; both ends None where nothing can be said."""

    low: float | None
    high: float | None
    method: str
    """How it was computed, or why there is none."""


def clopper_pearson(hits: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a share (Clopper and Pearson 1934); (0, 1) where there is nothing to count."""
    if n == 0:
        return 0.0, 1.0
    tail, missed = (1 - level) / 2, n - hits
    low = 0.0 if hits <= _TINY * n else float(betaincinv(hits, missed + 1, tail))
    high = 1.0 if missed <= _TINY * n else float(betaincinv(hits + 1, missed, 1 - tail))
    return low, high


def share_interval(hits: Mask, groups: Ints) -> Interval:
    """Interval of a share of images.

    Parameters
    ----------
    hits, groups
        (n,) which images count, and numbers of the groups that images belong to.
    """
    n = len(hits)
    if not n:
        return Interval(0.0, 1.0, "no image")
    one_stratum = np.zeros(n, np.int64)
    if reason := _no_interval(groups, one_stratum):
        return Interval(None, None, reason)
    value = float(hits.mean())
    number = _Grouping(groups, np.ones(n), one_stratum).effective(n, (hits - value) / n, 1 / n**2)
    return Interval(*clopper_pearson(value * number, number), _method(groups, exact=True))


def score_interval(metric: Metric, y: Ints, probabilities: Floats, groups: Ints) -> Interval:
    """Interval of the score of probability rows.

    Parameters
    ----------
    y, groups
        (n,) class indices, and numbers of the groups that images belong to.
    probabilities
        (n, k).

    Returns
    -------
    Shares from 0 to 1, or nats for log loss; neither end where there is only one group per class, or there are fewer
    than ``LEAST_GROUPS`` groups of several images.
    """
    if reason := _no_interval(groups, y):
        return Interval(None, None, reason)
    if metric == "log-loss":
        return Interval(*_log_loss(y, probabilities, groups), _method(groups, exact=False, name="Fay-Feuer"))
    n, k = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    if metric == "accuracy":
        return share_interval(predicted == y, groups)
    counts = confusion(y, predicted, k).astype(np.float64)
    value, influence = _linearised(metric, counts)
    outcomes = _shrunk(counts)
    expected, slopes = _linearised(metric, outcomes * counts.sum(axis=1, keepdims=True))
    of_class = (outcomes * np.square(slopes)).sum(axis=1)
    spread = expected * (1 - expected)
    # an image of a class that weighs more counts as less than one: its mistakes move the score further
    variance = float(of_class[y].sum())
    number = min(n, spread / variance)
    grouping = _Grouping(groups, of_class[y] ** 0.5, y)
    number = grouping.effective(number, influence[y, predicted], variance / (n * spread))
    return Interval(*clopper_pearson(value * number, number), _method(groups, exact=False))


def _linearised(metric: Metric, counts: Floats) -> tuple[float, NDArray[np.float64]]:
    """Return the score of confusion counts (k, k), and what one more image in each cell would add to it, (k, k)."""
    k = len(counts)
    hits, true = np.diag(counts), counts.sum(axis=1)
    present = true > 0
    diagonal = np.eye(k)
    each = 1 / present.sum()
    if metric == "balanced-accuracy":
        recall = np.divide(hits, true, out=np.zeros(k), where=present)
        per_image = np.divide(each, true, out=np.zeros(k), where=present)
        return float(recall[present].mean()), (diagonal - recall[:, None]) * per_image[:, None]
    both = true + counts.sum(axis=0)
    f1 = np.divide(2 * hits, both, out=np.zeros(k), where=present)
    per_image = np.divide(each, both, out=np.zeros(k), where=present)
    lost = f1 * per_image
    return float(f1[present].mean()), 2 * diagonal * per_image[:, None] - lost[:, None] - lost[None, :]


def _shrunk(counts: Floats) -> NDArray[np.float64]:
    """(k, k) probability of each predicted class given the true one, shrunk towards one accuracy for all classes."""
    k, n = len(counts), counts.sum()
    accuracy = (np.trace(counts) + 1) / (n + 2)
    usual = np.full((k, k), (1 - accuracy) / max(k - 1, 1))
    np.fill_diagonal(usual, accuracy)
    return np.asarray((counts + _PRIOR_IMAGES * usual) / (counts.sum(axis=1, keepdims=True) + _PRIOR_IMAGES))


class _Grouping:
    """How much less images in groups say than as many independent ones.

    Parameters
    ----------
    groups
        (n,) numbers.
    deviation
        (n,) standard deviation of what each image adds to the score.
    strata
        (n,) images whose mean the score takes: the class where classes weigh the same, else one stratum.
    """

    def __init__(self, groups: Ints, deviation: Floats, strata: Ints) -> None:
        _, self._group = np.unique(groups, return_inverse=True)
        n = len(groups)
        self.independent = int(self._group.max(initial=-1)) + 1 == n
        self._alone = np.bincount(self._group, np.square(deviation))
        self._together = np.square(np.bincount(self._group, deviation))
        """Variance of a group's sum if its images are independent, and if they are right or wrong together."""
        pairs, place, count = np.unique(
            np.stack([self._group, strata]), axis=1, return_inverse=True, return_counts=True
        )
        part = (count / np.bincount(strata)[pairs[1]])[place.ravel()]
        self._leverage = np.bincount(self._group, part * np.square(deviation)) / np.maximum(self._alone, _TINY**2)

    def effective(self, number: float, influence: Floats, of_a_mistake: float) -> float:
        """Return how many independent images say as much as ``number`` images in these groups.

        Parameters
        ----------
        influence
            (n,) what each image adds to the score.
        of_a_mistake
            Variance that one mistake brings.
        """
        if self.independent:
            return number
        effect = self.design_effect(influence, of_a_mistake)
        n = len(self._group)
        quantile = stdtrit(n - 1, _UPPER) / stdtrit(self.degrees_of_freedom(effect), _UPPER)
        return float(number / effect * quantile**2)

    def design_effect(self, influence: Floats, of_a_mistake: float) -> float:
        """Return the variance of the groups' sums as a multiple of that of independent images; at least 1."""
        n = len(influence)
        only = self._leverage > 1 - 1e-9  # the one group of its class: between such groups no spread can be measured
        sums = np.square(np.bincount(self._group, influence))
        sums = np.where(only, 0, sums / np.maximum(1 - self._leverage, 1e-9))
        images = float(np.square(influence).sum()) * n / (n - 1)
        most = float(self._together.sum() / self._alone.sum())
        prior = _PRIOR_MISTAKES * of_a_mistake
        effect = (float(sums.sum()) + prior * most) / (images + prior)
        effect += float(self._together[only].sum() / self._alone.sum())
        return min(max(effect, 1.0), 2 * most)

    def degrees_of_freedom(self, effect: float) -> float:
        """Return the effective number of groups less one; groups of unlike sizes count as fewer."""
        most = float(self._together.sum() / self._alone.sum())
        correlation = min((effect - 1) / max(most - 1, _TINY), 1.0)
        variance = (1 - correlation) * self._alone + correlation * self._together
        return max(float(variance.sum() ** 2 / np.square(variance).sum()) - 1, 1.0)


def _log_loss(y: Ints, probabilities: Floats, groups: Ints) -> tuple[float, float]:
    """Interval of the mean negative log probability, in nats (Fay and Feuer 1997, equation 4)."""
    n = len(y)
    losses = negative_log_likelihood(y, probabilities)
    mean = float(losses.mean())
    mistake = max(_loss_of_a_mistake(probabilities), float(losses.max()))
    influence = (losses - mean) / n
    grouping = _Grouping(groups, np.ones(n), np.zeros(n, np.int64))
    effect, freedom = 1.0, float(n - 1)
    if not grouping.independent:
        effect = grouping.design_effect(influence, (mistake / n) ** 2)
        freedom = grouping.degrees_of_freedom(effect)
    effect *= float(stdtrit(max(freedom, 1.0), _UPPER) / ndtri(_UPPER)) ** 2
    variance = effect * float(np.square(influence).sum()) * n / max(n - 1, 1)
    jump = effect * mistake / n
    low = 0.0 if variance <= 0 else float(gammaincinv(mean**2 / variance, 1 - _UPPER)) * variance / mean
    above, wider = mean + jump, variance + jump**2
    return low, float(gammaincinv(above**2 / wider, _UPPER)) * wider / above


def _loss_of_a_mistake(probabilities: Floats) -> float:
    """Return the mean loss that images would have if another class than the predicted one were right."""
    rows = np.maximum(probabilities.astype(np.float64), 1e-12)
    others = rows.copy()
    others[np.arange(len(rows)), rows.argmax(axis=1)] = 0
    total = others.sum(axis=1)
    return float(((others * -np.log(rows)).sum(axis=1) / np.maximum(total, _TINY)).mean())


def _no_interval(groups: Ints, y: Ints) -> str:
    """Say why no interval can be given; empty where one can."""
    names, member = np.unique(groups, return_inverse=True)
    n_groups = len(names)
    if n_groups == len(groups):
        return ""
    if n_groups < LEAST_GROUPS:
        return f"{n_groups} {'group is' if n_groups == 1 else 'groups are'} too few"
    n_pairs = len(np.unique(np.stack([member, y]), axis=1).T)
    if n_pairs == len(np.unique(y)):
        return "every class has one group"
    return ""


def _method(groups: Ints, *, exact: bool, name: str = "Korn-Graubard") -> str:
    n_groups = len(np.unique(groups))
    if n_groups == len(groups):
        return "exact (Clopper-Pearson)" if exact else name
    return f"{name}, {n_groups:,} independent groups"
