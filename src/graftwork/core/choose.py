"""The choice: the cheapest candidate that nothing beats significantly, within a tolerance of the best."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from graftwork.core.arrays import Floats, Ints, Mask
from graftwork.core.facts import Metric
from graftwork.core.figures import difference, points
from graftwork.core.intervals import score_interval
from graftwork.core.metrics import mean_loss, score_from_loss, weighted_loss
from graftwork.core.plans import labels_of
from graftwork.core.scoring import resampled_losses
from graftwork.core.stats import all_pairs_critical_value, one_group_deviation, shared_training
from graftwork.core.trials import TOLERANCE, Baseline, Task, Trial

Words = Literal["only one", "pays", "not worth it", "cannot tell", "best and cheapest", "likeliest of equals"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One candidate or baseline in the table of a verdict."""

    label: str
    score: float
    """In the metric's own direction: a share, or nats for log loss. Validation, selected."""
    low: float | None
    high: float | None
    """Interval of the score at 95 %, for this row alone; None where the images allow none."""
    deficit: float
    """Loss above the best candidate's; not below 0 for candidates."""
    deficit_low: float
    deficit_high: float
    """Interval of the deficit that holds for all pairs of rows at once."""
    beaten: bool
    """The best candidate is significantly better."""
    expected_deficit: float | None = None
    """How much worse it is expected to be than that of which most is expected, given what was measured of all and what
    like data gained; None where nothing is expected, and for one that what was measured rules out."""

    @property
    def deficit_to_judge(self) -> float:
        """The deficit that the choice goes by: as expected; where nothing is, as measured."""
        return self.deficit if self.expected_deficit is None else self.expected_deficit

    @property
    def span(self) -> tuple[float, float]:
        """What a chart draws: the interval, or the score alone."""
        return (self.score, self.score) if self.low is None or self.high is None else (self.low, self.high)


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
    """One per trial, in their order; a trial that did not complete is compared with the best on the images it has."""
    baselines: tuple[Row, ...] = ()
    tolerance: float = TOLERANCE
    """How much worse than the best, as a loss, a cheaper candidate could be."""
    images_to_settle: int | None = None
    """About how many develop images would tell chosen and best apart, where they cannot be told apart now."""
    images: int | None = None
    """Develop images on which the completed trials were compared; None: all of them."""


def choose(
    trials: Sequence[Trial],
    costs: Sequence[float],
    task: Task,
    baselines: Sequence[Baseline] = (),
    *,
    expected: Sequence[float] | None = None,
) -> Verdict:
    """Choose the cheapest candidate that is not significantly worse than the best, within the task's tolerance of it.

    Within the tolerance is what is expected to be, given what was measured of all and what like data gained: on few
    images a difference of two points is mostly chance (``benchmarks/choice.py``). A candidate that was judged on some
    of the images alone must be within the tolerance as measured, too. Where nothing is expected of one of them, what
    was measured decides.

    Only completed trials can be chosen; they are compared on the images that all of them have.

    ``best`` has the lowest out-of-fold loss. Differences to it are paired per image, with a bootstrap over
    groups and one critical value for all pairs, baselines included. Of equally cheap candidates that are not
    significantly worse, the one with the lowest log loss wins: where images are few, that tells more than how many
    were classified correctly (``benchmarks/selection.py``).

    Parameters
    ----------
    costs
        What using each candidate takes, in any one unit; only the order counts.
    expected
        Accuracy of each candidate as it is expected, given what was measured of it and what other data gained; NaN
        where nothing is expected.
    """
    completed = [j for j, trial in enumerate(trials) if trial.ended == "completed"]
    common = np.logical_and.reduce([trials[j].run for j in completed])
    labels = labels_of([trial.candidate for trial in trials])
    labelled = [(labels[j], trials[j].probabilities[common]) for j in completed]
    others = [(baseline.name, baseline.probabilities[common]) for baseline in baselines]
    y = task.y[common]
    loss = dict(zip(completed, (mean_loss(task.metric, y, p) for _, p in labelled), strict=True))
    best = min(completed, key=lambda j: loss[j])
    table = compare(
        task.metric,
        y,
        [*labelled, *others],
        task.groups[common],
        completed.index(best),
        seed=task.seed,
        widening=_widening(task, common),
    )
    compared = dict(zip(completed, table, strict=False))
    rows = [
        compared[j] if j in compared else dataclasses.replace(beside(trials[best], [trial], task)[0], label=labels[j])
        for j, trial in enumerate(trials)
    ]
    unbeaten = [j for j in completed if not rows[j].beaten]
    complete = [bool(trial.run.all()) for trial in trials]
    known = known_enough(unbeaten, complete, [row.deficit for row in rows], task.tolerance)
    behind = expected_deficits(known, expected)
    rows = [dataclasses.replace(row, expected_deficit=behind.get(j)) for j, row in enumerate(rows)]
    cheapest = min(costs[j] for j in known if rows[j].deficit_to_judge <= task.tolerance)
    log_loss = _log_loss(task.metric, y)
    equals = [j for j in unbeaten if costs[j] == cheapest]
    chosen = min(equals, key=lambda j: (log_loss(trials[j].probabilities[common]), loss[j], j))
    words = _words(rows, completed, costs, chosen, best, task.tolerance)
    settle = _images_to_settle(rows, completed, costs, best, int(common.sum())) if words == "cannot tell" else None
    return Verdict(
        metric=task.metric,
        chosen=chosen,
        best=best,
        words=words,
        because=_because([rows[j] for j in completed], rows[chosen], rows[best], words, task)
        + _expectation({j: rows[j] for j in known}, costs, costs[chosen], rows[chosen].label, task),
        rows=tuple(rows),
        baselines=table[len(completed) :],
        tolerance=task.tolerance,
        images_to_settle=settle,
        images=None if common.all() else int(common.sum()),
    )


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
    """Compare every labelled set of probability rows with the one at ``best``, paired per image.

    Two sets of rows that predict the same everywhere are not known to be equal: their difference is taken to be as
    uncertain as if they differed on one group of images.

    Parameters
    ----------
    widening
        Factor on the intervals of the differences; 1 where one classifier gave all rows of a set
        (``stats.shared_training``).
    """
    rows = [probabilities for _, probabilities in labelled]
    loss = np.array([mean_loss(metric, y, p) for p in rows])
    draws = resampled_losses(metric, y, rows, groups, seed=seed)
    deviation = draws - loss
    critical = all_pairs_critical_value(deviation) if len(rows) > 1 else 0.0
    least = one_group_deviation(metric, y, groups)
    most = np.inf if metric == "log-loss" else 1.0  # shares differ by no more
    table = []
    for j, (label, p) in enumerate(labelled):
        spread = float((deviation[:, j] - deviation[:, best]).std())
        half = 0.0 if j == best else widening * critical * max(spread, least)
        deficit = float(loss[j] - loss[best])
        interval = score_interval(metric, y, p, groups)
        table.append(
            Row(
                label=label,
                score=score_from_loss(metric, float(loss[j])),
                low=interval.low,
                high=interval.high,
                deficit=deficit,
                deficit_low=max(deficit - half, -most),
                deficit_high=min(deficit + half, most),
                beaten=deficit - half > 0,
            )
        )
    return tuple(table)


def beside(best: Trial, trials: Sequence[Trial], task: Task, metric: Metric | None = None) -> tuple[Row, ...]:
    """Compare trials with one that was best of them, or chosen, on the images that all of them have.

    Parameters
    ----------
    metric
        None takes the task's.

    Returns
    -------
    A row for each of ``trials``; intervals of differences hold for all of them at once.
    """
    every = [best, *trials]
    common = np.logical_and.reduce([trial.run for trial in every])
    labels = labels_of([trial.candidate for trial in every])
    rows = compare(
        metric or task.metric,
        task.y[common],
        [(label, trial.probabilities[common]) for label, trial in zip(labels, every, strict=True)],
        task.groups[common],
        0,
        seed=task.seed,
        widening=_widening(task, common),
    )
    return rows[1:]


def _log_loss(metric: Metric, y: Ints) -> Callable[[Floats], float]:
    """Log loss of probability rows, every class with the same weight where the metric gives it that."""
    count = np.bincount(y)
    even = metric in ("balanced-accuracy", "macro-f1")
    weights = 1.0 / count[y] if even else np.ones(len(y))
    return lambda rows: float(weighted_loss("log-loss", y, rows, weights[None])[0])


def _widening(task: Task, run: Mask) -> float:
    """Factor on the intervals of differences, where the folds of the rows that were run share training images."""
    n_folds = task.n_folds
    return 1.0 if n_folds == 1 else shared_training(round(n_folds * float(run.mean())), n_folds)


def _words(
    rows: Sequence[Row], completed: Sequence[int], costs: Sequence[float], chosen: int, best: int, tolerance: float
) -> Words:
    if len(completed) == 1:
        return "only one"
    cheaper = [j for j in completed if costs[j] < costs[best]]
    if chosen == best:
        if not cheaper:
            return "best and cheapest"
        return "pays" if all(rows[j].beaten for j in cheaper) else "cannot tell"
    if costs[chosen] == costs[best]:
        return "likeliest of equals"
    cheaper_than_best = costs[chosen] < costs[best]
    return "not worth it" if cheaper_than_best and rows[chosen].deficit_high < tolerance else "cannot tell"


def known_enough(
    unbeaten: Sequence[int], complete: Sequence[bool], deficits: Sequence[float], tolerance: float
) -> list[int]:
    """Return those to choose by what is expected of them: judged on every image, or near the best as measured."""
    return [j for j in unbeaten if complete[j] or deficits[j] <= tolerance]


def expected_deficits(known: Sequence[int], expected: Sequence[float] | None) -> dict[int, float]:
    """Return how much worse each is expected to be than that of which most is expected, by position.

    Empty where nothing is expected of one of them: then they can only be compared as measured.
    """
    if expected is None or any(math.isnan(expected[j]) for j in known):
        return {}
    most = max(expected[j] for j in known)
    return {j: most - expected[j] for j in known}


def _because(rows: Sequence[Row], chosen: Row, best: Row, words: Words, task: Task) -> str:
    name = chosen.label
    unbeaten = sum(not row.beaten for row in rows) - 1
    ahead = _ahead(best, chosen.deficit, task.metric)
    match words:
        case "only one":
            return f"{name} was the only candidate"
        case "best and cheapest":
            others = "1 other is" if unbeaten == 1 else f"{unbeaten} others are"
            rest = f"{others} not significantly worse" if unbeaten else "it beats every other significantly"
            return f"{name} scores best and nothing tried is cheaper; {rest}"
        case "likeliest of equals":
            return (
                f"{name} has the lowest log loss of those that cost the same and are not significantly worse than the "
                f"best; {ahead}"
            )
        case "pays":
            return f"{name} is significantly better than everything cheaper"
        case "not worth it":
            return f"{ahead.removesuffix(_CHANCE)}, too little for its cost"
        case "cannot tell":
            if chosen is best:
                return f"{name} scores best; that it beats everything cheaper is not certain"
            return ahead


def _expectation(known: Mapping[int, Row], costs: Sequence[float], cost: float, label: str, task: Task) -> str:
    """Say what is expected, where by what was measured alone something dearer or cheaper would have been chosen."""
    as_measured = min(costs[j] for j, row in known.items() if row.deficit <= task.tolerance)
    if cost == as_measured:
        return ""
    behind = min(row.deficit_to_judge for j, row in known.items() if costs[j] == cost)
    if cost < as_measured:
        said = f"no more than {points(task.metric, behind)} are expected to be gained over {label}"
    else:
        cheaper = min(row.deficit_to_judge for j, row in known.items() if costs[j] < cost)
        said = f"{points(task.metric, cheaper - behind)} more are expected of {label} than of anything cheaper"
    return f"; {said}, given what like data gained"


_CHANCE = ", which may be chance"


def _ahead(best: Row, deficit: float, metric: Metric) -> str:
    """By how much the best scores better, as people read it."""
    gain = points(metric, deficit)
    same = not float(difference(metric, deficit))
    return f"{best.label} scores the same" if same else f"{best.label} scores {gain} better{_CHANCE}"


def _images_to_settle(
    rows: Sequence[Row], completed: Sequence[int], costs: Sequence[float], best: int, n: int
) -> int | None:
    """Images at which every cheaper candidate that is not beaten yet would be told from the best.

    The same difference would then stand outside its interval, which shrinks with the root of n.
    """
    rivals = [rows[j] for j in completed if costs[j] < costs[best] and not rows[j].beaten]
    if not rivals or any(row.deficit <= 0 for row in rivals):
        return None
    return max(int(np.ceil(n * ((row.deficit_high - row.deficit) / row.deficit) ** 2)) for row in rivals)


def best_of_each_network(verdict: Verdict, trials: Sequence[Trial]) -> list[int]:
    """Return the position of the best candidate of each network, the best network first."""
    best: dict[str, int] = {}
    for j, trial in enumerate(trials):
        name = trial.candidate.backbone
        best[name] = min(best.get(name, j), j, key=lambda i: verdict.rows[i].deficit)
    return sorted(best.values(), key=lambda j: verdict.rows[j].deficit)
