"""Choosing C by cross-validation: all folds side by side, on a path from strong to weak regularisation.

Every fold is a set of image weights on one design (codes standardised once: no label enters), so that all folds and
classes share each matrix product. A path starts where the weights are nearly 0 and each C starts from the last; it
stops when the metric has fallen twice, since the large Cs cost most and then never win. Accuracy is final long
before the objective is: the search is loose, the refit is not.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from graftwork.core.metrics import Metric, mean_loss, negative_log_likelihood, softmax
from graftwork.core.plans import Loss, Normalise
from graftwork.linear.descent import descend, point_at
from graftwork.linear.losses import Floats, Ints, Losses
from graftwork.linear.solver import check_arguments, fit_linear, prepare, settle_absent, zero_weights

GRID = tuple(float(f"1e{power}") for power in range(-6, 6))
"""C of the search; half a decade to both sides of the best is tried after it."""
_FALLS = 2
_RESTS = 3
"""The path also ends where so many Cs in a row brought nothing: on a plateau the images are separated."""
_SEARCH_TOLERANCE = 1e-3
_SEARCH_ITERATIONS = 30
_REFIT_TOLERANCE = 1e-6
_ONE_THREAD_BELOW = 5e8
"""Multiplications of a product under which a second thread costs more than it brings."""


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
    """Loss of the metric, out of fold, at each C."""


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
    """Choose C among ``Cs`` (ascending) by the metric, out of fold.

    Parameters
    ----------
    x, y, folds
        (n, d) codes of any float type, (n,) class indices, (n,) fold numbers.
    refine
        Try half a decade to both sides of the best as well.
    sample_weight
        (n,) weights in fitting; the metric counts every image once.

    Raises
    ------
    UsageError, DataError
        As ``fit_linear``.
    """
    y = check_arguments(x, y, n_classes=n_classes, Cs=tuple(Cs), sample_weight=sample_weight)
    with _threads(len(y) * min(x.shape) * n_classes * len(np.unique(folds))):
        path = _Path(x, y, folds, n_classes, loss, metric, normalise, sample_weight)
        falls = rests = 0
        for C in Cs:
            better = path.try_(C)
            falls = 0 if better else falls + (path.tried[C] > path.best_loss)
            rests = 0 if better else rests + 1
            if falls == _FALLS or rests == _RESTS:
                break
        if refine:
            middle = path.best.C
            for C in (middle / 10**0.5, middle * 10**0.5):
                if min(Cs) <= C <= max(Cs):
                    path.try_(C)
    return path.best


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
    with _threads(len(y) * min(x.shape) * n_classes):
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


def fit_temperature(margins: Floats, y: Ints) -> float:
    """Return T of the least mean log loss of softmax(margins / T) (Guo et al. 2017), between e-8 and e8."""

    def mean_log_loss(log_temperature: float) -> float:
        return float(negative_log_likelihood(y, softmax(margins, float(np.exp(log_temperature)))).mean())

    found = minimize_scalar(mean_log_loss, bounds=(-8, 8), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


class _Path:
    """Where the classifiers of all folds stand, and what was best on the way."""

    def __init__(
        self,
        x: Floats,
        y: Ints,
        folds: Ints,
        n_classes: int,
        loss: Loss,
        metric: Metric,
        normalise: Normalise,
        sample_weight: Floats | None,
    ) -> None:
        self._y, self._metric = y, metric
        _, self._fold = np.unique(folds, return_inverse=True)
        self._sets = int(self._fold.max()) + 1
        weight = np.ones(len(y), np.float32) if sample_weight is None else sample_weight.astype(np.float32)
        weights = np.where(self._fold == np.arange(self._sets)[:, None], 0, weight).astype(np.float32)
        self._design = prepare(x, loss=loss, normalise=normalise, sample_weight=sample_weight).design
        self._losses = Losses(loss, y, weights, n_classes)
        self._points = [point_at(self._design, zero_weights(self._design, self._losses))]
        self._sizes = np.count_nonzero(weights, axis=1)[self._fold]
        self.tried: dict[float, float] = {}
        self.best_loss = np.inf
        self.best: CrossValidation

    def try_(self, C: float) -> bool:
        """Solve every fold at C from where the last C left off; say whether it is the best so far."""
        toward = self._points[-2] if len(self._points) > 1 else None
        point = descend(
            self._design,
            self._losses,
            C,
            self._points[-1],
            toward=toward,
            tolerance=_SEARCH_TOLERANCE,
            max_iterations=_SEARCH_ITERATIONS,
        )
        self._points = [self._points[-1], point]
        n_classes = self._losses.n_classes
        each = point.margins.reshape(self._sets, n_classes, -1)
        margins = each[self._fold, :, np.arange(len(self._y))]
        if self._losses.loss == "softmax":
            margins = settle_absent(margins, self._sizes)
        temperature = fit_temperature(margins, self._y)
        rows = softmax(margins, temperature)
        self.tried[C] = mean_loss(self._metric, self._y, rows)
        if self.tried[C] >= self.best_loss:
            return False
        self.best_loss = self.tried[C]
        self.best = CrossValidation(C, temperature, margins.astype(np.float32), rows, self.tried)
        return True


@functools.cache
def _pools() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _threads(multiplications: float) -> Any:
    """Limit BLAS to one thread where products are small: threads that wait actively slow each other down."""
    return _pools().limit(limits=1 if multiplications < _ONE_THREAD_BELOW else None)
