"""Choosing C by cross-validation: all folds side by side, on a path from strong to weak regularisation.

Every fold is a set of image weights on one design (codes standardised once: no label enters), so that all folds and
classes share each matrix product. The path starts where the weights are nearly 0, each C starts on the line through
the last two, and it stops once the figures have fallen twice or clearly: the large Cs cost most and then never win.
Accuracy is final long before the objective is: the search is loose, the rows at the choice and the refit are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats, Ints
from graftwork.core.facts import Metric
from graftwork.core.metrics import mean_loss, negative_log_likelihood, softmax
from graftwork.core.plans import Loss, Normalise
from graftwork.errors import DataError
from graftwork.linear.descent import Point, descend, point_at
from graftwork.linear.design import Design, prepare
from graftwork.linear.losses import Losses
from graftwork.linear.solver import check_arguments, fit_linear, settle_absent, zero_weights
from graftwork.linear.temperature import fit_temperature
from graftwork.linear.threads import one_blas_thread

GRID = tuple(float(f"1e{power}") for power in range(-6, 6))
"""C of the search; half a decade to both sides of the best is tried after it."""
_FALLS = 2
_CLEAR_ERRORS = 3.0
"""One fall is enough when the log loss has risen by this many of its (paired) standard errors as well."""
_LOG_LOSS_DIGITS = 6
"""Log losses that differ by less are equal: at a C that learns nothing they are those of any guess but for rounding."""
_SEARCH_TOLERANCE = 5e-3
_SEARCH_ITERATIONS = 15
_ROWS_TOLERANCE = 3e-4
_REFIT_TOLERANCE = 3e-6
_JUDGED_IMAGES = 20_000
"""The search judges as many folds as hold this many images: more cannot tell neighbouring Cs apart any better."""
_SIDE_BY_SIDE_VALUES = 1 << 25
"""Margins that the last round holds at a time; the folds go in turns beyond (128 MB in float32, some four times)."""


@dataclasses.dataclass(frozen=True, eq=False)
class CrossValidation:
    """What was chosen, and the out-of-fold rows at the choice."""

    C: float
    temperature: float
    """Of the softmax of margins / temperature with the least log loss, out of fold."""
    margins: NDArray[np.float32]
    """(n, k) decision values of each image by the classifier of the other folds."""
    probabilities: NDArray[np.float32]
    """(n, k)."""
    tried: dict[float, float]
    """Loss of the metric, out of fold, at each C that was looked at, loosely solved."""


def cross_validate(
    x: Floats,
    y: Ints,
    folds: Ints,
    *,
    n_classes: int,
    loss: Loss,
    metric: Metric,
    normalise: Normalise = "standard",
    Cs: Sequence[float] = GRID,
    refine: bool = True,
    sample_weight: Floats | None = None,
) -> CrossValidation:
    """Choose C among ``Cs`` by the metric, out of fold; equal ones are told apart by log loss.

    Parameters
    ----------
    x, y, folds
        (n, d) codes of any float type, (n,) class indices, (n,) fold numbers.
    refine
        Try the middle between the best C and its neighbours as well.
    sample_weight
        (n,) weights in fitting; the metric counts every image once.

    Raises
    ------
    UsageError, DataError
        As ``fit_linear``; fewer than two folds.
    """
    y = check_arguments(x, y, n_classes=n_classes, Cs=tuple(Cs), sample_weight=sample_weight)
    names, fold = np.unique(folds, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"cross-validation needs at least two folds, found {len(names)}: give it more images")
    with one_blas_thread():
        design = prepare(x, normalise=normalise, sample_weight=sample_weight).design
        data = _Data(design, y, fold, n_classes, loss, sample_weight)
        path = _Path(data, metric)
        path.follow(sorted(Cs))
        if refine:
            path.refine()
        margins = data.out_of_fold(path.best, path.weights[path.best])
        temperature = fit_temperature(margins, y)
    rows = softmax(margins, temperature)
    tried = {C: figures[0] for C, figures in sorted(path.figures.items())}
    return CrossValidation(path.best, temperature, margins, rows, tried)


def refit(
    x: Floats,
    y: Ints,
    *,
    n_classes: int,
    loss: Loss,
    C: float,
    normalise: Normalise = "standard",
    sample_weight: Floats | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit to the optimum on all images (n, d); return weight (k, d) and bias (k,), standardisation folded in.

    Margins are ``codes @ weight.T + bias`` on the codes as they are, or of length 1 if ``normalise`` is ``l2``.
    """
    weight, bias = fit_linear(
        x,
        y,
        n_classes=n_classes,
        loss=loss,
        C=C,
        normalise=normalise,
        sample_weight=sample_weight,
        tolerance=_REFIT_TOLERANCE,
        dtype=np.float32,
    )
    return np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(bias, np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class _Data:
    """Images, labels and folds, and the classifiers that leave one fold out."""

    design: Design
    y: Ints
    fold: Ints
    """(n,) numbers 0, 1, ..."""
    n_classes: int
    loss: Loss
    sample_weight: Floats | None

    @property
    def n_folds(self) -> int:
        return int(self.fold.max()) + 1

    def losses(self, left_out: Ints) -> Losses:
        """Losses with one training set for each of these folds: the images of all others."""
        weight = np.ones(len(self.y)) if self.sample_weight is None else self.sample_weight
        sets = np.where(self.fold == left_out[:, None], 0, weight).astype(self.design.gram.dtype)
        return Losses(self.loss, self.y, sets, self.n_classes)

    def judged(self, margins: Floats, left_out: Ints) -> tuple[Ints, Floats]:
        """Images of these folds, and their margins (m, k) by the classifiers that have not seen them."""
        images = np.flatnonzero(np.isin(self.fold, left_out))
        place = np.searchsorted(left_out, self.fold[images])
        rows = margins.reshape(len(left_out), self.n_classes, -1)[place, :, images]
        return images, settle_absent(rows, len(self.y) - np.bincount(self.fold)[self.fold[images]])

    def out_of_fold(self, C: float, weights: Floats) -> NDArray[np.float32]:
        """(n, k) margins of every image, well solved; ``weights`` (columns, d) of the first folds are the start."""
        known = weights.reshape(-1, self.n_classes, weights.shape[1])
        result = np.empty((len(self.y), self.n_classes), np.float32)
        at_once = int(np.clip(_SIDE_BY_SIDE_VALUES // result.size, 1, self.n_folds))
        for begin in range(0, self.n_folds, at_once):
            left_out = np.arange(begin, min(begin + at_once, self.n_folds))
            losses = self.losses(left_out)
            start = zero_weights(self.design, losses).reshape(len(left_out), self.n_classes, -1)
            trained = losses.present()
            for place, number in enumerate(left_out):
                guess = known[number] if number < len(known) else known.mean(axis=0)
                start[place, trained[place]] = guess[trained[place]]
            point = point_at(self.design, start.reshape(losses.columns, -1))
            point = descend(self.design, losses, C, point, tolerance=_ROWS_TOLERANCE)
            images, rows = self.judged(point.margins, left_out)
            result[images] = rows
        return result


class _Path:
    """Classifiers at one C after the other, and how they did on the images they had not seen."""

    def __init__(self, data: _Data, metric: Metric) -> None:
        self._data, self._metric = data, metric
        size = np.cumsum(np.bincount(data.fold))
        self._left_out = np.arange(min(int(np.searchsorted(size, _JUDGED_IMAGES)) + 1, data.n_folds))
        self._losses = data.losses(self._left_out)
        self.weights: dict[float, Floats] = {}
        self.figures: dict[float, tuple[float, float]] = {}
        """Loss of the metric, and log loss."""
        self._log_losses: dict[float, Floats] = {}
        """(m,) of each judged image."""

    @property
    def best(self) -> float:
        """The C with the best figures; of equal ones the smallest."""
        return min(self.figures, key=lambda C: (*self.figures[C], C))

    def follow(self, Cs: Sequence[float]) -> None:
        """Try Cs in turn, until the figures have fallen twice, or clearly."""
        before, here = None, point_at(self._data.design, zero_weights(self._data.design, self._losses))
        falls = 0
        for C in Cs:
            before, here = here, self._try(C, here, before)
            falls = falls + 1 if self._fell(C) else 0
            if falls == _FALLS or (falls and self._fell_clearly(C)):
                break

    def refine(self) -> None:
        """Try the geometric middle between the best C and either neighbour, from the line through both."""
        best, tried = self.best, sorted(self.figures)
        place = tried.index(best)
        for neighbour in tried[max(place - 1, 0) : place] + tried[place + 1 : place + 2]:
            start, toward = (point_at(self._data.design, self.weights[C]) for C in (best, neighbour))
            self._try((best * neighbour) ** 0.5, start, toward)

    def _fell(self, C: float) -> bool:
        """Whether other Cs are better by either figure; where nothing is learned yet all are equal, and none fell."""
        figures = self.figures[C]
        return figures > self.figures[self.best] and figures[1] > self.figures[self._likeliest][1]

    @property
    def _likeliest(self) -> float:
        return min(self.figures, key=lambda C: (self.figures[C][1], C))

    def _fell_clearly(self, C: float) -> bool:
        """Whether the images say so, one by one."""
        rise = self._log_losses[C] - self._log_losses[self._likeliest]
        return bool(rise.mean() > max(_CLEAR_ERRORS * rise.std() / len(rise) ** 0.5, 10.0**-_LOG_LOSS_DIGITS))

    def _try(self, C: float, start: Point, toward: Point | None) -> Point:
        point = descend(
            self._data.design,
            self._losses,
            C,
            start,
            toward=toward,
            tolerance=_SEARCH_TOLERANCE,
            max_iterations=_SEARCH_ITERATIONS,
        )
        images, margins = self._data.judged(point.margins, self._left_out)
        y = self._data.y[images]
        rows = softmax(margins, fit_temperature(margins, y))
        self.weights[C] = point.weights
        self._log_losses[C] = negative_log_likelihood(y, rows)
        self.figures[C] = mean_loss(self._metric, y, rows), round(float(self._log_losses[C].mean()), _LOG_LOSS_DIGITS)
        return point
