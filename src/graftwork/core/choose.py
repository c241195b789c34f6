"""The choice: the cheapest candidate that nothing beats significantly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graftwork.core.metrics import Metric, mean_loss, score_from_loss, weighted_loss
from graftwork.core.plans import labels_of
from graftwork.core.stats import (
    all_pairs_critical_value,
    bootstrap_weights,
    clopper_pearson,
    percentile_interval,
    shared_training,
)
from graftwork.core.trials import Trial

Ints = NDArray[np.integer]
Floats = NDArray[np.floating]

DRAWS = 2000
WORTH = 0.01
"""A deficit, in the metric's own unit, that a cheaper candidate is forgiven."""

Words = Literal["only one", "pays", "not worth it", "cannot tell", "best and cheapest", "likeliest of equals"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One candidate or baseline in the table of a verdict."""

    label: str
    score: float
    """In the metric's own direction: a share, or nats for log loss. Validation, selected."""
    low: float
    high: float
    """Interval of the score at 95 %, for this row alone."""
    deficit: float
    """Loss above the best candidate's, at least 0 for candidates."""
    deficit_low: float
    deficit_high: float
    """Interval of the deficit that holds for all pairs of rows at once."""
    beaten: bool
    """The best candidate is significantly better."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was concluded from the trials."""

    metric: Metric
    chosen: int
    """Position among the trials."""
    best: int
    words: Words
    because: str
    rows: tuple[Row, ...]
    """One a trial, in their order; a trial that was not run to its end is set beside the best on the images it has."""
    baselines: tuple[Row, ...] = ()
    worth: float = WORTH
    """The deficit, as a loss, that a cheaper candidate was forgiven."""
    images_to_settle: int | None = None
    """About how many develop images would tell chosen and best apart, where they cannot be told now."""
    images: int | None = None
    """Develop images on which the whole trials were set side by side; None: all of them."""


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


def score_interval(metric: Metric, y: Ints, probabilities: Floats, groups: Ints, draws: Floats) -> tuple[float, float]:
    """Interval of one score at 95 %: exact for the accuracy of independent images, else from bootstrap losses."""
    if metric == "accuracy" and len(np.unique(groups)) == len(y):
        return clopper_pearson(int((probabilities.argmax(axis=1) == y).sum()), len(y))
    low, high = percentile_interval(draws)
    return (low, high) if metric == "log-loss" else (1 - high, 1 - low)


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
    """Score probability rows (n, k) of images that nothing was chosen on."""
    draws = resampled_losses(metric, y, [probabilities], groups, seed=seed)[:, 0]
    low, high = score_interval(metric, y, probabilities, groups, draws)
    n_groups = len(np.unique(groups))
    exact = metric == "accuracy" and n_groups == len(y)
    how = "exact (Clopper-Pearson)" if exact else f"bootstrap over {n_groups} groups"
    return Score(metric, score_from_loss(metric, mean_loss(metric, y, probabilities)), low, high, len(y), how)


def compare(
    metric: Metric,
    y: Ints,
    labelled: Sequence[tuple[str, Floats]],
    groups: Ints,
    best: int,
    *,
    seed: int,
    widening: float = 1.0,
) -> tuple[Row, ...]:
    """Set every labelled set of probability rows beside the one at ``best``, paired per image.

    Parameters
    ----------
    widening
        Of the differences' intervals; 1 where the rows are of one classifier each (``stats.shared_training``).
    """
    rows = [probabilities for _, probabilities in labelled]
    loss = np.array([mean_loss(metric, y, p) for p in rows])
    draws = resampled_losses(metric, y, rows, groups, seed=seed)
    deviation = draws - loss
    critical = all_pairs_critical_value(deviation) if len(rows) > 1 else 0.0
    table = []
    for j, (label, p) in enumerate(labelled):
        half = widening * critical * float((deviation[:, j] - deviation[:, best]).std())
        deficit = float(loss[j] - loss[best])
        low, high = score_interval(metric, y, p, groups, draws[:, j])
        table.append(
            Row(
                label=label,
                score=score_from_loss(metric, float(loss[j])),
                low=low,
                high=high,
                deficit=deficit,
                deficit_low=deficit - half,
                deficit_high=deficit + half,
                beaten=deficit - half > 0,
            )
        )
    return tuple(table)


def choose(
    trials: Sequence[Trial],
    costs: Sequence[float],
    y: Ints,
    groups: Ints,
    metric: Metric,
    *,
    seed: int,
    n_folds: int | None,
    worth: float = WORTH,
    baselines: Sequence[tuple[str, Floats]] = (),
) -> Verdict:
    """Choose the cheapest candidate that is not significantly worse than the best, within ``worth`` of it.

    Only trials that were run to their end can be chosen; they are compared on the images that all of them have.

    ``best`` has the lowest out-of-fold loss. Differences to it are paired per image, with a bootstrap over
    groups and one critical value for all pairs, baselines included. Of equally cheap candidates that are not
    significantly worse, the one wins that gives the labels the highest probability: where images are few, that tells
    more than how many were read right (``benchmarks/selection.py``).

    Parameters
    ----------
    costs
        What using each candidate takes, in any one unit; only the order counts.
    y, groups
        (n_develop,) classes and groups of the rows.
    n_folds
        Of the cross-validation that the rows come from; some may not have been run. None: one classifier gave them all.
    """
    whole = [j for j, trial in enumerate(trials) if trial.ended == "whole"]
    common = np.logical_and.reduce([trials[j].run for j in whole])
    labels = labels_of([trial.candidate for trial in trials])
    labelled = [(labels[j], trials[j].probabilities[common]) for j in whole]
    others = [(name, probabilities[common]) for name, probabilities in baselines]
    loss = dict(zip(whole, (mean_loss(metric, y[common], p) for _, p in labelled), strict=True))
    best = min(whole, key=lambda j: loss[j])
    table = compare(
        metric,
        y[common],
        [*labelled, *others],
        groups[common],
        whole.index(best),
        seed=seed,
        widening=_widening(common, n_folds),
    )
    judged = dict(zip(whole, table, strict=False))
    rows = [
        judged[j] if j in judged else _beside_the_best(metric, y, groups, labels[j], trial, trials[best], seed, n_folds)
        for j, trial in enumerate(trials)
    ]
    cheapest = min(costs[j] for j in whole if not rows[j].beaten and rows[j].deficit <= worth)
    surprise = _surprise(metric, y[common])
    equals = [j for j in whole if costs[j] == cheapest and not rows[j].beaten]
    chosen = min(equals, key=lambda j: (surprise(trials[j].probabilities[common]), loss[j], j))
    words = _words(rows, whole, costs, chosen, best, worth)
    return Verdict(
        metric=metric,
        chosen=chosen,
        best=best,
        words=words,
        because=_because([rows[j] for j in whole], rows[chosen], rows[best], words, metric),
        rows=tuple(rows),
        baselines=table[len(whole) :],
        worth=worth,
        images_to_settle=_images_to_settle(rows, whole, costs, best, int(common.sum()))
        if words == "cannot tell"
        else None,
        images=None if common.all() else int(common.sum()),
    )


def _surprise(metric: Metric, y: Ints) -> Callable[[Floats], float]:
    """Log loss of probability rows, every class with the same weight where the metric gives it that."""
    count = np.bincount(y)
    even = metric in ("balanced-accuracy", "macro-f1")
    weights = 1.0 / count[y] if even else np.ones(len(y))
    return lambda rows: float(weighted_loss("log-loss", y, rows, weights[None])[0])


def _beside_the_best(
    metric: Metric, y: Ints, groups: Ints, label: str, trial: Trial, best: Trial, seed: int, n_folds: int | None
) -> Row:
    """A trial that was not run to its end, on the images that it and the best have in common."""
    both = trial.run & best.run
    pair = [("best", best.probabilities[both]), (label, trial.probabilities[both])]
    return compare(metric, y[both], pair, groups[both], 0, seed=seed, widening=_widening(both, n_folds))[1]


def _widening(run: NDArray[np.bool_], n_folds: int | None) -> float:
    return 1.0 if n_folds is None else shared_training(round(n_folds * float(run.mean())), n_folds)


def _words(
    rows: Sequence[Row], whole: Sequence[int], costs: Sequence[float], chosen: int, best: int, worth: float
) -> Words:
    if len(whole) == 1:
        return "only one"
    cheaper = [j for j in whole if costs[j] < costs[best]]
    if chosen == best:
        if not cheaper:
            return "best and cheapest"
        return "pays" if all(rows[j].beaten for j in cheaper) else "cannot tell"
    if costs[chosen] == costs[best]:
        return "likeliest of equals"
    return "not worth it" if rows[chosen].deficit_high < worth else "cannot tell"


def _because(rows: Sequence[Row], chosen: Row, best: Row, words: Words, metric: Metric) -> str:
    name = chosen.label
    unbeaten = sum(not row.beaten for row in rows) - 1
    match words:
        case "only one":
            return f"{name} was the only candidate"
        case "best and cheapest":
            rest = "beats every other significantly" if not unbeaten else f"{unbeaten} others cannot be told from it"
            return f"{name} reads best and nothing tried is cheaper; {rest}"
        case "likeliest of equals":
            return (
                f"{name} gives the labels the highest probability of those that cost the same and are not clearly "
                f"worse; {best.label} reads "
                f"{_points(chosen.deficit, metric)} better, which may be chance"
            )
        case "pays":
            return f"{name} is significantly better than everything cheaper"
        case "not worth it":
            return f"{best.label} reads {_points(chosen.deficit, metric)} better, too little for its cost"
        case "cannot tell":
            if chosen is best:
                return f"{name} reads best; that it beats everything cheaper is not certain"
            return f"{best.label} reads {_points(chosen.deficit, metric)} better, which may be chance"


def _points(deficit: float, metric: Metric) -> str:
    return f"{deficit:.3f} nats" if metric == "log-loss" else f"{100 * deficit:.1f} points"


def _images_to_settle(
    rows: Sequence[Row], whole: Sequence[int], costs: Sequence[float], best: int, n: int
) -> int | None:
    """Images at which every cheaper candidate that is not beaten yet would be told from the best.

    The same difference would then stand outside its interval, which shrinks with the root of n.
    """
    rivals = [rows[j] for j in whole if costs[j] < costs[best] and not rows[j].beaten]
    if not rivals or any(row.deficit <= 0 for row in rivals):
        return None
    return max(int(np.ceil(n * ((row.deficit_high - row.deficit) / row.deficit) ** 2)) for row in rivals)
