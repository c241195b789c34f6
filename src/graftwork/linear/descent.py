"""Preconditioned L-BFGS for many linear classifiers at once: two wide matrix products an iteration.

The margins of a linear model move along a straight line when its weights do, so the length of a step is searched
on the margins alone; only a new direction and its gradient touch the images.

The products go through scipy's BLAS, as the factorisation does: numpy's and scipy's wheels carry an OpenBLAS each,
and threads of the one that still wait actively slow the other down several times.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from graftwork.linear.losses import Floats, Losses

_MEMORY = 10
NCG=200; ETA=1e-2
_LINE_EVALUATIONS = 16
_LINE_QUALITY = 0.3
"""A step is long enough when the slope along it has fallen to this share."""


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """Images as the descent wants them."""

    rows: Floats
    """(d, n), one row per feature, C-contiguous; a row of ones carries the intercepts."""
    penalty: Floats
    """(d,): 1 where the weight is penalised, 0 where it is not."""
    gram: Floats
    """(d, d): sum over images of weight * x x'."""


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """Weights (columns, d) and the margins (columns, n) they give."""

    weights: Floats
    margins: Floats


def product(left: Floats, right: Floats) -> Floats:
    """Matrix product (a, b) @ (b, c) of arrays of one type, through scipy's BLAS."""
    gemm = scipy.linalg.get_blas_funcs("gemm", (left, right))
    # BLAS counts columns first: the transpose of a C-contiguous array is what it takes without a copy
    a, flip_a = (right.T, False) if right.flags.c_contiguous else (right, True)
    b, flip_b = (left.T, False) if left.flags.c_contiguous else (left, True)
    result: Floats = gemm(1.0, a, b, trans_a=flip_a, trans_b=flip_b).T
    return result


def point_at(design: Design, weights: Floats) -> Point:
    """Return the point of these weights (columns, d)."""
    return Point(weights, product(weights, design.rows))


def descend(
    design: Design,
    losses: Losses,
    C: float,
    start: Point,
    *,
    toward: Point | None = None,
    tolerance: float,
    max_iterations: int,
    exact=False,
) -> tuple[Point, int]:
    """Minimise ``C * losses + 0.5 * ||penalised weights||^2`` of every problem.

    Parameters
    ----------
    toward
        A point that spans, with ``start``, a line on which a better start may lie: that of another C. Looking for
        it costs no product, and saves about half of the iterations.
    tolerance
        A problem is solved when its objective's expected decrease is at most this share of
        ``max(objective, 1e-3 * objective at zero)``.

    Returns
    -------
    The point reached, and the iterations it took.
    """
    state = _Descent(design, losses, C, start)
    if toward is not None:
        state.move(toward.weights - start.weights, toward.margins - start.margins, state.slope_toward(toward))
    state.refresh()
    for iteration in range(max_iterations):
        direction, slope = state.newton_like()
        slope = np.where(state.solved(-slope, tolerance), 0.0, slope)
        if not slope.any():
            break
        state.move(direction, product(direction, design.rows), slope)
        state.refresh()
    n=0
    if exact:
        for n in range(100):
            direction, moved, slope, cg = state.newton()
            N.append(cg)
            slope = np.where(state.solved(-slope, tolerance), 0.0, slope)
            if not slope.any(): break
            state.move(direction, moved, slope)
            state.refresh()
    return Point(state.weights, state.margins), iteration+1000*n


N=[]
class _Descent:
    """Weights, margins and what was learnt about the curvature, on the way down."""

    def __init__(self, design: Design, losses: Losses, C: float, start: Point) -> None:
        self.design, self.losses, self.C = design, losses, C
        self.weights, self.margins = start.weights.copy(), start.margins.copy()
        self.slopes = np.empty_like(self.margins)
        self.gradient = np.zeros_like(self.weights)
        self.stalled = np.zeros(losses.problems, bool)
        self.norm = self._inner(self.weights * design.penalty, self.weights)
        loss, _ = losses.along(self.margins, self.margins, np.zeros(losses.problems), self.slopes)
        self.objective = C * loss + 0.5 * self.norm
        self._pairs: list[tuple[Floats, Floats, NDArray[np.float64]]] = []
        self._change: Floats | None = None
        self._curvature = 0.0

    def _inner(self, a: Floats, b: Floats) -> NDArray[np.float64]:
        """(problems,) inner products of two arrays (columns, d)."""
        problems = self.losses.problems
        return np.einsum("pi,pi->p", a.reshape(problems, -1), b.reshape(problems, -1)).astype(np.float64)

    def _spread(self, values: NDArray[np.float64]) -> Floats:
        """(columns, 1) from one value per problem."""
        return np.repeat(values, self.losses.width).astype(self.weights.dtype)[:, None]

    def slope_toward(self, point: Point) -> NDArray[np.float64]:
        """(problems,) slope of the objective on the way to a point; 0 where it would rise."""
        moved = point.margins - self.margins
        _, slope = self.losses.along(self.margins, moved, np.zeros(self.losses.problems), self.slopes)
        slope = self.C * slope + self._inner(self.weights * self.design.penalty, point.weights - self.weights)
        return np.minimum(slope, 0.0)

    def refresh(self) -> None:
        """Compute the gradient where we are, and learn from how it changed."""
        gradient = self.C * product(self.slopes, self.design.rows.T) + self.design.penalty * self.weights
        if self._change is not None:
            bend = gradient - self.gradient
            self._pairs = [*self._pairs, (self._change, bend, self._inner(self._change, bend))][-_MEMORY:]
        self.gradient = gradient
        curvature = max(self.losses.curvature(self.slopes), 1e-8)
        if not 0.25 < curvature / max(self._curvature, 1e-30) < 4:
            self._curvature = curvature
            self._factor = self._factorise(curvature)

    def _factorise(self, curvature: float) -> tuple[Floats, bool]:
        """Factorise the Hessian as it were if every image were equally undecided, in every problem."""
        weights = self.losses.weights
        share = weights.sum(dtype=np.float64) / len(weights) / weights.max(axis=0).sum(dtype=np.float64)
        matrix = float(self.C * curvature * share) * self.design.gram
        diagonal = np.einsum("ii->i", matrix)
        # a ridge at the level of rounding: with a large C the penalty alone does not carry the factorisation
        diagonal += self.design.penalty + 10 * np.finfo(matrix.dtype).eps * diagonal.sum()
        factor: tuple[Floats, bool] = scipy.linalg.cho_factor(
            matrix.T, lower=True, overwrite_a=True, check_finite=False
        )
        return factor

    def newton_like(self) -> tuple[Floats, NDArray[np.float64]]:
        """Return a direction (columns, d) of descent and the objective's slope (problems,) along it."""
        z=self.precondition(-self.gradient)
        return z, np.minimum(self._inner(self.gradient, z), 0.0)
    def precondition(self, q):
        shares = []
        for change, bend, curve in reversed(self._pairs):
            share = _divide(self._inner(change, q), curve)
            shares.append(share)
            q -= self._spread(share) * bend
        z = scipy.linalg.cho_solve(self._factor, q.T, overwrite_b=True, check_finite=False).T
        for (change, bend, curve), share in zip(self._pairs, reversed(shares), strict=True):
            z += self._spread(share - _divide(self._inner(bend, z), curve)) * change
        return z

    def solved(self, decrease, tolerance):
        floor = np.maximum(self.objective, 1e-3 * self.C * self.losses.at_zero)
        return (decrease <= tolerance * floor) | self.stalled

    def newton(self):
        residual = -self.gradient
        direction, moved = np.zeros_like(self.weights), np.zeros_like(self.margins)
        along = z = self.precondition(residual.copy())
        fit = self._inner(residual, z)
        total = np.zeros_like(fit); fit0=fit
        for _ in range(NCG):
            shift = product(along, self.design.rows)
            bent = self.C * product(self.losses.bend(self.slopes, shift), self.design.rows.T) + self.design.penalty * along
            length = _divide(fit, self._inner(along, bent))
            direction += self._spread(length) * along
            moved += self._spread(length) * shift
            residual -= self._spread(length) * bent
            gain = length * fit
            total += gain
            z = self.precondition(residual.copy())
            now = self._inner(residual, z)
            if np.all(now<=ETA*fit0): break
            along = z + self._spread(_divide(now, fit)) * along
            fit = now
        return direction, moved, np.minimum(self._inner(self.gradient, direction), 0.0), _

    def move(self, direction: Floats, moved: Floats, slope: NDArray[np.float64]) -> None:
        """Go as far as pays along a direction (columns, d) that moves the margins by ``moved``.

        Problems whose slope is 0 stay where they are.
        """
        penalised = direction * self.design.penalty
        pull, stretch = self._inner(self.weights, penalised), self._inner(direction, penalised)
        slack = 4 * np.finfo(self.weights.dtype).eps * np.abs(self.objective)
        search = _LineSearch(slope)
        for _ in range(_LINE_EVALUATIONS):
            step = search.step
            loss, rise = self.losses.along(self.margins, moved, step, self.slopes)
            norm = self.norm + 2 * step * pull + step**2 * stretch
            objective = self.C * loss + 0.5 * norm
            if search.settled(self.C * rise + pull + step * stretch, objective <= self.objective + slack):
                break
        else:
            lost = ~(objective <= self.objective + slack)
            self.stalled |= lost
            step = np.where(lost, 0.0, step)
            loss, _ = self.losses.along(self.margins, moved, step, self.slopes)
            norm = self.norm + 2 * step * pull + step**2 * stretch
            objective = self.C * loss + 0.5 * norm
        self.norm, self.objective = norm, objective
        self._change = self._spread(step) * direction
        self.weights += self._change
        moved *= self._spread(step)
        self.margins += moved


class _LineSearch:
    """Steps of convex functions, searched side by side by their slopes."""

    def __init__(self, slope: NDArray[np.float64]) -> None:
        self._start = slope
        self.step = np.where(slope < 0, 1.0, 0.0)
        self._low, self._slope_low = np.zeros_like(slope), slope
        self._high, self._slope_high = np.full_like(slope, np.inf), np.zeros_like(slope)

    def settled(self, slope: NDArray[np.float64], lower: NDArray[np.bool_]) -> bool:
        """Judge the step by the slope at its end and by whether it leads down; else set the next one."""
        good = (np.abs(slope) <= -_LINE_QUALITY * self._start) & lower
        good |= self._start >= 0
        if good.all():
            return True
        short = slope < 0
        self._low = np.where(short, self.step, self._low)
        self._slope_low = np.where(short, slope, self._slope_low)
        self._high = np.where(short, self._high, self.step)
        self._slope_high = np.where(short, self._slope_high, slope)
        self.step = np.where(good, self.step, self._next())
        return False

    def _next(self) -> NDArray[np.float64]:
        bracketed = np.isfinite(self._high)
        high = np.where(bracketed, self._high, 0.0)
        gap = high - self._low
        share = _divide(-self._slope_low, self._slope_high - self._slope_low)
        inside = self._low + gap * np.clip(share, 0.1, 0.9)
        # no far end yet: go where the slope, falling as it did on the way, would vanish
        bend = self._slope_low - self._start
        reach = np.where(bend > 0, _divide(-self._low * self._start, bend), np.inf)
        beyond = np.clip(reach, 1.5 * self._low, 5 * self._low)
        return np.where(bracketed, inside, beyond)


def _divide(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a / b, and 0 where b is not positive: nothing was learnt there."""
    some = b > np.finfo(np.float64).tiny
    return np.asarray(np.where(some, a / np.where(some, b, 1.0), 0.0))
