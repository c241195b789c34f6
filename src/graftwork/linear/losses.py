"""The two losses as functions of the margins, for many problems at once.

Margins are (columns, n), one row per training set and class: everything here runs along n, the long contiguous
axis, in blocks of images that stay in the processor's cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats, Ints
from graftwork.core.plans import Loss
from graftwork.linear.threads import share

_BLOCK_VALUES = 1 << 17
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, eq=False)
class Losses:
    """Weighted sums of a loss over images: one sum per problem.

    Softmax couples the classes of a training set, so a problem is a set; the SVM (one against the rest) does not,
    so a problem is a set and a class.
    """

    loss: Loss
    y: Ints
    """(n,) class indices."""
    weights: Floats
    """(sets, n): one row of image weights per training set; 0 leaves the image out."""
    n_classes: int

    @property
    def width(self) -> int:
        """Columns of a problem."""
        return self.n_classes if self.loss == "softmax" else 1

    @property
    def columns(self) -> int:
        """Training sets times classes."""
        return len(self.weights) * self.n_classes

    @property
    def problems(self) -> int:
        """Problems that can be solved apart from each other."""
        return self.columns // self.width

    @property
    def at_zero(self) -> NDArray[np.float64]:
        """(problems,) sums where every margin is 0."""
        nothing = np.log(self.n_classes) if self.loss == "softmax" else 1.0
        return np.repeat(self.weights.sum(axis=1, dtype=np.float64) * nothing, self.n_classes // self.width)

    def present(self) -> NDArray[np.bool_]:
        """(sets, k): whether a training set has an image of the class."""
        count = np.stack([np.bincount(self.y[row > 0], minlength=self.n_classes) for row in self.weights])
        return np.asarray(count > 0)

    def along(
        self, margins: Floats, direction: Floats, steps: Floats, slopes: Floats
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Evaluate at ``margins + steps * direction``.

        Parameters
        ----------
        margins, direction
            (columns, n).
        steps
            (problems,).
        slopes
            (columns, n), overwritten with the derivatives of the sums by the margins.

        Returns
        -------
        (problems,) sums, and (problems,) their derivatives by the step.
        """
        shape = (len(self.weights), self.n_classes, len(self.y))
        m, d, r = margins.reshape(shape), direction.reshape(shape), slopes.reshape(shape)
        step = np.repeat(steps, self.width).reshape(*shape[:2], 1).astype(m.dtype)
        evaluate = self._softmax if self.loss == "softmax" else self._squared_hinge

        def images(part: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            at = step * d[..., part]
            at += m[..., part]
            value = evaluate(at, self.y[part], self.weights[:, part])
            r[..., part] = at
            at *= d[..., part]
            return value, at.sum(axis=2, dtype=np.float64).reshape(self.problems, -1).sum(axis=1)

        values, derivatives = zip(*self._over_images(images), strict=True)
        return np.sum(values, axis=0), np.sum(derivatives, axis=0)

    def _over_images(self, work: Callable[[slice], Result]) -> list[Result]:
        """Call ``work`` on slices of the images, each small enough for the cache."""
        return share(work, len(self.y), block=max(64, _BLOCK_VALUES // self.columns))

    def _softmax(self, at: Floats, y: Ints, weights: Floats) -> NDArray[np.float64]:
        """Return the sums (sets,) of a block and turn its margins (sets, k, n) into slopes, in place."""
        images = np.arange(len(y))
        at -= at.max(axis=1, keepdims=True)
        true = at[:, y, images]
        np.exp(at, out=at)
        total = at.sum(axis=1)
        at *= (weights / total)[:, None]
        at[:, y, images] -= weights
        return np.asarray(((np.log(total) - true) * weights).sum(axis=1, dtype=np.float64))

    def _squared_hinge(self, at: Floats, y: Ints, weights: Floats) -> NDArray[np.float64]:
        """Return the sums (sets * k,) of a block and turn its margins (sets, k, n) into slopes, in place.

        The margin of the true class is to pass 1, the others are to stay below -1.
        """
        images = np.arange(len(y))
        true = at[:, y, images]
        at += 1
        np.maximum(at, 0, out=at)
        at[:, y, images] = np.minimum(true - 1, 0)
        weighted = at * weights[:, None]
        at *= weighted
        value = at.sum(axis=2, dtype=np.float64).ravel()
        np.multiply(weighted, 2, out=at)
        return np.asarray(value)

    def bend(self, slopes: Floats, direction: Floats) -> Floats:
        """Second derivative at the margins that gave these slopes, times a direction (columns, n) of the margins."""
        shape = (len(self.weights), self.n_classes, len(self.y))
        d, r = direction.reshape(shape), slopes.reshape(shape)
        bent = np.empty_like(direction)
        result = bent.reshape(shape)

        def images(part: slice) -> None:
            y, weights, out = self.y[part], self.weights[:, part], result[..., part]
            if self.loss == "svm":
                np.multiply(r[..., part] != 0, d[..., part], out=out)
                out *= 2 * weights[:, None]
            else:
                p = r[..., part].copy()  # weight * p, once the true class's -weight is taken back
                p[:, y, np.arange(len(y))] += weights
                np.multiply(p, d[..., part], out=out)
                p *= (out.sum(axis=1) / np.maximum(weights, np.finfo(weights.dtype).tiny))[:, None]
                out -= p

        self._over_images(images)
        return bent

    def curvature(self, slopes: Floats) -> float:
        """Weighted mean of the losses' second derivatives by a margin, read off the slopes."""
        r = slopes.reshape(len(self.weights), self.n_classes, -1)

        def images(part: slice) -> float:
            weights = self.weights[:, None, part]
            if self.loss == "svm":
                return 2 * float(((r[..., part] != 0) * weights).sum(dtype=np.float64))
            # |slope| / weight is p, or 1 - p for the true class: p (1 - p) either way
            p = np.abs(r[..., part])
            spread = p.sum(dtype=np.float64)
            p *= p
            p /= np.maximum(weights, np.finfo(p.dtype).tiny)
            return float(spread - p.sum(dtype=np.float64))

        # a softmax is flat where all margins of an image rise together: the bend is in the other k - 1 directions
        directions = self.n_classes if self.loss == "svm" else max(self.n_classes - 1, 1)
        return sum(self._over_images(images)) / (float(self.weights.sum(dtype=np.float64)) * directions)
