"""Many linear classifiers at once, by preconditioned L-BFGS: two wide matrix products an iteration.

The margins of a linear model move along a straight line when its weights do, so the length of a step is searched
on the margins alone; only a new direction and its gradient touch the images.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from graftwork.core.arrays import Floats
from graftwork.linear.design import Design
from graftwork.linear.losses import Losses

_MEMORY = 10
_REFACTORISE = 4.0
"""The preconditioner is made anew when the losses' curvature has changed by this factor."""
_LINE_EVALUATIONS = 60
_LINE_QUALITY = 0.3
"""A step is long enough when the slope along it has fallen to this share."""
_LINE_PRECISION = 1e-9
_NEWTON_STEPS = 200
_CONJUGATE_STEPS = 200
_CONJUGATE_QUALITY = 1e-2

PerProblem = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """Weights (columns, d) and the margins (columns, n) they give."""

    weights: Floats
    margins: Floats


def point_at(design: Design, weights: Floats) -> Point:
    """Return the point of these weights (columns, d)."""
    return Point(weights, design.forward(weights))


def descend(
    design: Design,
    losses: Losses,
    C: float,
    start: Point,
    *,
    toward: Point | None = None,
    tolerance: float,
    max_iterations: int = 100,
    exact: bool = False,
) -> Point:
    """Minimise ``C * losses + 0.5 * ||penalised weights||^2`` of every problem.

    Parameters
    ----------
    toward
        A point that spans, with ``start``, a line on which a better start may lie: that of another C. Looking
        for it costs no product and saves about half of the iterations.
    tolerance
        A problem is solved when the expected decrease of its objective is at most this share of
        ``max(objective, 1e-3 * objective at zero)``. L-BFGS expects a few times too little where C is large.
    exact
        Go on with Newton's method, whose expectation is sound near the optimum of a softmax, and of an SVM as long as
        no image crosses its margin.
    """
    state = _Descent(design, losses, C, start, tolerance)
    if toward is not None:
        state.move_toward(toward)
    state.refresh()
    for _ in range(max_iterations):
        direction = state.solve_roughly(-state.gradient)
        slope = state.worthwhile_slope(direction)
        if not slope.any():
            break
        state.move(direction, design.forward(direction), slope)
        state.refresh()
    for _ in range(_NEWTON_STEPS if exact else 0):
        direction, moved = state.solve_newton()
        slope = state.worthwhile_slope(direction)
        if not slope.any():
            break
        state.move(direction, moved, slope)
        state.refresh()
    return Point(state.weights, state.margins)


class _Descent:
    """Weights, margins and what was learnt about the curvature, on the way down."""

    def __init__(self, design: Design, losses: Losses, C: float, start: Point, tolerance: float) -> None:
        self.design, self.losses, self.C = design, losses, float(C)
        self.weights, self.margins = start.weights.copy(), start.margins.copy()
        self.slopes = np.empty_like(self.margins)
        self.gradient = np.zeros_like(self.weights)
        self._tolerance = tolerance
        self._stalled = np.zeros(losses.problems, bool)
        self._norm = self._inner(self.weights * design.penalty, self.weights)
        loss, _ = losses.along(self.margins, self.margins, np.zeros(losses.problems), self.slopes)
        self.objective = self.C * loss + 0.5 * self._norm
        self._pairs: list[tuple[Floats, Floats, PerProblem]] = []
        self._change: Floats | None = None
        self._curvature = 0.0

    def _inner(self, a: Floats, b: Floats) -> PerProblem:
        """(problems,) inner products of two arrays (columns, d)."""
        problems = self.losses.problems
        return np.asarray(np.einsum("pi,pi->p", a.reshape(problems, -1), b.reshape(problems, -1)), np.float64)

    def _spread(self, values: PerProblem) -> Floats:
        """(columns, 1) from one value per problem."""
        return np.repeat(values, self.losses.width).astype(self.weights.dtype)[:, None]

    def worthwhile_slope(self, direction: Floats) -> PerProblem:
        """(problems,) slope of the objective along a Newton-like direction (its negative is the decrease to be
        expected, twice over); 0 for problems that are solved or cannot move.
        """
        slope = np.minimum(self._inner(self.gradient, direction), 0.0)
        floor = np.maximum(self.objective, 1e-3 * self.C * self.losses.at_zero)
        return np.where((-slope <= self._tolerance * floor) | self._stalled, 0.0, slope)

    def move_toward(self, point: Point) -> None:
        """Go to the best point on the line through another one, before any gradient is known."""
        direction, moved = point.weights - self.weights, point.margins - self.margins
        slope = np.zeros(self.losses.problems)
        for sign in (1.0, -1.0):  # the line leads down on one side
            _, rise = self.losses.along(self.margins, moved, np.zeros(len(slope)), self.slopes)
            rise = self.C * rise + self._inner(self.weights * self.design.penalty, direction)
            slope = np.minimum(rise, 0.0)
            if slope.any() or sign < 0:
                break
            direction, moved = -direction, -moved
        self.move(direction, moved, slope)
        self._change = None

    def refresh(self) -> None:
        """Compute the gradient where we are, and learn from how it changed."""
        gradient = self.C * self.design.backward(self.slopes) + self.design.penalty * self.weights
        if self._change is not None:
            bend = gradient - self.gradient
            self._pairs = [*self._pairs, (self._change, bend, self._inner(self._change, bend))][-_MEMORY:]
        self.gradient = gradient
        curvature = max(self.losses.curvature(self.slopes), 1e-8)
        if not 1 / _REFACTORISE < curvature / max(self._curvature, 1e-30) < _REFACTORISE:
            self._curvature = curvature
            self._factor = self._factorise(curvature)

    def _factorise(self, curvature: float) -> tuple[Floats, bool]:
        """Factorise the Hessian as it were if every image were equally undecided, in every problem."""
        weights = self.losses.weights
        trained = weights.sum(dtype=np.float64) / len(weights) / weights.max(axis=0).sum(dtype=np.float64)
        matrix = float(self.C * curvature * trained) * self.design.gram
        diagonal = np.einsum("ii->i", matrix)
        # a ridge at the level of rounding: with a large C the penalty alone does not carry the factorisation
        diagonal += self.design.penalty + 10 * np.finfo(matrix.dtype).eps * diagonal.sum()
        factor: tuple[Floats, bool] = scipy.linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
        return factor

    def solve_roughly(self, right: Floats) -> Floats:
        """Apply an approximate inverse of the Hessian to (columns, d): L-BFGS on top of the factorisation."""
        q = right.copy()
        fractions = []
        for change, bend, curve in reversed(self._pairs):
            fraction = _divide(self._inner(change, q), curve)
            fractions.append(fraction)
            q -= self._spread(fraction) * bend
        q = np.asarray(scipy.linalg.cho_solve(self._factor, q.T, overwrite_b=True, check_finite=False)).T
        for (change, bend, curve), fraction in zip(self._pairs, reversed(fractions), strict=True):
            q += self._spread(fraction - _divide(self._inner(bend, q), curve)) * change
        return q

    def solve_newton(self) -> tuple[Floats, Floats]:
        """Newton's direction (columns, d) and how it moves the margins, by conjugate gradients."""
        residual = -self.gradient
        direction, moved = np.zeros_like(self.weights), np.zeros_like(self.margins)
        along = self.solve_roughly(residual)
        fit = first = self._inner(residual, along)
        for _ in range(_CONJUGATE_STEPS):
            shift = self.design.forward(along)
            bent = self.C * self.design.backward(self.losses.bend(self.slopes, shift))
            bent += self.design.penalty * along
            length = self._spread(_divide(fit, self._inner(along, bent)))
            direction += length * along
            moved += length * shift
            residual -= length * bent
            z = self.solve_roughly(residual)
            before, fit = fit, self._inner(residual, z)
            if np.all(fit <= _CONJUGATE_QUALITY * first):
                break
            along = z + self._spread(_divide(fit, before)) * along
        return direction, moved

    def move(self, direction: Floats, moved: Floats, slope: PerProblem) -> None:
        """Go as far as pays along a direction (columns, d) that moves the margins by ``moved`` (overwritten).

        Problems whose slope is 0 stay where they are.
        """
        penalised = direction * self.design.penalty
        pull, stretch = self._inner(self.weights, penalised), self._inner(direction, penalised)

        def evaluate(step: PerProblem) -> tuple[PerProblem, PerProblem, PerProblem]:
            loss, rise = self.losses.along(self.margins, moved, step, self.slopes)
            norm = self._norm + 2 * step * pull + step**2 * stretch
            return self.C * loss + 0.5 * norm, self.C * rise + pull + step * stretch, norm

        slack = 4 * np.finfo(self.weights.dtype).eps * np.abs(self.objective)
        search = _LineSearch(slope)
        for _ in range(_LINE_EVALUATIONS):
            step = search.step
            objective, rise, norm = evaluate(step)
            lower = objective <= self.objective + slack
            if search.settled(rise, lower):
                break
        if not lower.all():  # rounding hides the way down: stay, for good
            self._stalled |= ~lower
            step = np.where(lower, step, 0.0)
            objective, _, norm = evaluate(step)
        self.objective, self._norm = objective, norm
        self._change = self._spread(step) * direction
        self.weights += self._change
        moved *= self._spread(step)
        self.margins += moved


class _LineSearch:
    """Steps along convex functions, searched side by side by their slopes."""

    def __init__(self, slope: PerProblem) -> None:
        self._start = slope
        self.step = np.where(slope < 0, 1.0, 0.0)
        self._low, self._slope_low = np.zeros_like(slope), slope
        self._high, self._slope_high = np.full_like(slope, np.inf), np.zeros_like(slope)

    def settled(self, slope: PerProblem, lower: NDArray[np.bool_]) -> bool:
        """Judge the steps by the slope at their ends and by whether they lead down; else set the next ones."""
        narrow = self._high - self._low <= _LINE_PRECISION
        good = ((np.abs(slope) <= -_LINE_QUALITY * self._start) & lower) | (self._start >= 0) | narrow
        if good.all():
            return True
        short = slope < 0
        self._low = np.where(short, self.step, self._low)
        self._slope_low = np.where(short, slope, self._slope_low)
        self._high = np.where(short, self._high, self.step)
        self._slope_high = np.where(short, self._slope_high, slope)
        self.step = np.where(good, self.step, self._next())
        return False

    def _next(self) -> PerProblem:
        bracketed = np.isfinite(self._high)
        gap = np.where(bracketed, self._high, 0.0) - self._low
        share = _divide(-self._slope_low, self._slope_high - self._slope_low)
        inside = self._low + gap * np.clip(share, 0.1, 0.9)
        # no far end yet: go where the slope would vanish if it went on as it did so far
        bend = self._slope_low - self._start
        reach = np.where(bend > 0, _divide(-self._low * self._start, bend), np.inf)
        return np.where(bracketed, inside, np.clip(reach, 1.5 * self._low, 5 * self._low))


def _divide(a: PerProblem, b: PerProblem) -> PerProblem:
    """Divide, and 0 where b is not positive: nothing was learnt there."""
    some = b > np.finfo(np.float64).tiny
    return np.where(some, a / np.where(some, b, 1.0), 0.0)
