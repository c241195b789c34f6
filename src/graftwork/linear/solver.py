"""Linear classifiers by convex minimisation: arrays in, arrays out.

Softmax: ``C * sum_i s_i * (-log p_i) + 0.5 * ||W||^2``, the intercepts free: scikit-learn's
``LogisticRegression``. With two classes scikit-learn fits one vector w; we keep one per class, and by symmetry
``W = (-w/2, w/2)``, so that our C is scikit-learn's 2C with half its objective.

SVM: ``C * sum_i s_i * max(0, 1 - t_i m_i)^2 + 0.5 * (||w||^2 + b^2)`` for each class against the rest, the
intercepts penalised like the weights: scikit-learn's ``LinearSVC`` with ``intercept_scaling=1``.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
from numpy.typing import DTypeLike, NDArray

from graftwork.core.plans import Loss, Normalise
from graftwork.errors import DataError, UsageError
from graftwork.linear.descent import Design, Point, descend, point_at, product
from graftwork.linear.losses import Floats, Ints, Losses
from graftwork.linear.threads import one_blas_thread, share

_BLOCK_IMAGES = 256
_GRAM_IMAGES = 8192
_PATH_DECADES = 8
_PATH_TOLERANCE = 1e-2
_LBFGS_TOLERANCE = 1e-6
_ABSENT_BIAS = -1e4
"""Takes a class that a training set lacks out of its softmax: the exponential is 0 in every precision."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Codes as rows of a design, and the way back."""

    design: Design
    shift: Floats
    """(d,) taken from the codes, before ..."""
    scale: Floats
    """(d,) ... they are multiplied; 0 drops a constant column."""
    basis: Floats | None
    """(d, r) orthonormal columns that span the images, where there are fewer images than features: weights outside
    would only cost."""

    def unfold(self, weights: Floats) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Weights (k, r + 1) of the design as weight (k, d) and bias (k,) on the codes themselves."""
        inner, bias = weights[:, :-1], weights[:, -1]
        if self.basis is not None:
            inner = product(np.ascontiguousarray(inner), self.basis.T)
        weight = inner * self.scale
        return weight, bias - (weight.astype(np.float64) @ self.shift.astype(np.float64)).astype(bias.dtype)


def prepare(
    x: Floats,
    *,
    loss: Loss,
    normalise: Normalise | None,
    sample_weight: Floats | None = None,
    dtype: DTypeLike = np.float32,
) -> Prepared:
    """Read codes (n, d) of any float type, block by block, into a design of ``dtype``.

    Parameters
    ----------
    normalise
        ``standard`` (mean 0, variance 1 in every column), ``l2`` (rows of length 1) or nothing.

    Raises
    ------
    DataError
        A code is not finite.
    """
    n, d = x.shape
    rows = np.empty((d + 1, n), dtype)
    for begin in range(0, n, _BLOCK_IMAGES):
        block = np.asarray(x[begin : begin + _BLOCK_IMAGES], dtype)
        if normalise == "l2":
            block = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
        rows[:-1, begin : begin + len(block)] = block.T
    shift, scale = _standardise(rows[:-1], normalise == "standard")
    basis = None
    if d > n:
        basis, inner = scipy.linalg.qr(rows[:-1], mode="economic", overwrite_a=True, check_finite=False)
        rows = np.empty((n + 1, n), dtype)
        rows[:-1] = inner
    rows[-1] = 1
    penalty = np.ones(len(rows), rows.dtype)
    penalty[-1] = loss == "svm"
    return Prepared(Design(rows, penalty, _gram(rows, sample_weight)), shift, scale, basis)


def _standardise(features: Floats, standard: bool) -> tuple[Floats, Floats]:
    """Centre and scale features (d, n) in place if asked, zero the constant ones; return shift and scale."""
    mean = features.mean(axis=1, dtype=np.float64)
    if not np.isfinite(mean).all():
        column = int(np.flatnonzero(~np.isfinite(mean))[0])
        raise DataError(f"codes must be finite, found nan or infinity in column {column}: extract them again")
    constant = np.ptp(features, axis=1) == 0
    scale = np.ones(len(features), features.dtype)
    shift = np.zeros(len(features), features.dtype)
    if standard:
        shift = mean.astype(features.dtype)
        for feature, centre in zip(features, shift, strict=True):
            feature -= centre
        deviation = np.sqrt(np.einsum("dn,dn->d", features, features) / features.shape[1])
        scale = 1 / np.where(constant, 1, deviation)
        features *= scale[:, None]
    scale[constant] = 0
    features[constant] = 0
    return shift, scale


def _gram(rows: Floats, sample_weight: Floats | None) -> Floats:
    """Upper triangle (d, d) of the sum over images of weight * x x'."""
    syrk = scipy.linalg.get_blas_funcs("syrk", (rows,))
    root = None if sample_weight is None else np.sqrt(sample_weight).astype(rows.dtype)

    def images(part: slice) -> Floats:
        some = np.array(rows[:, part], order="C")
        if root is not None:
            some *= root[part]
        upper: Floats = syrk(1.0, some.T, trans=True)
        return upper

    def many(part: slice) -> Floats:
        total, *rest = (
            images(slice(begin, min(begin + _GRAM_IMAGES, part.stop)))
            for begin in range(part.start, part.stop, _GRAM_IMAGES)
        )
        for upper in rest:
            total += upper
        return total

    total, *rest = share(many, rows.shape[1], rows.size * len(rows))
    for upper in rest:
        total += upper
    return total


def zero_weights(design: Design, losses: Losses) -> Floats:
    """Weights (columns, d) to start from; a softmax leaves out the classes its training set lacks."""
    weights = np.zeros((losses.columns, len(design.rows)), design.rows.dtype)
    if losses.loss == "softmax":
        weights[~losses.present().ravel(), -1] = _ABSENT_BIAS
    return weights


def settle_absent(margins: Floats, sizes: Ints) -> Floats:
    """Give classes that took no part in a softmax a finite margin: that of one image among all and one more.

    Parameters
    ----------
    margins
        (n, k), or intercepts (1, k).
    sizes
        (n,) images of the training set behind each row.
    """
    return np.where(margins < _ABSENT_BIAS / 2, -np.log1p(sizes)[:, None].astype(margins.dtype), margins)


def solve_path(prepared: Design, losses: Losses, C: float, *, tolerance: float, exact: bool) -> Point:
    """Solve at C, by way of stronger regularisation: each decade shows the way to the next."""
    # where loss and penalty weigh about the same; below it the problem is nearly a least-squares one
    balance = len(prepared.gram) / float(np.trace(prepared.gram, dtype=np.float64))
    decades = int(np.clip(np.ceil(np.log10(C / balance)), 0, _PATH_DECADES))
    here, before = point_at(prepared, zero_weights(prepared, losses)), None
    for decade in range(decades, 0, -1):
        there = descend(prepared, losses, C / 10.0**decade, here, toward=before, tolerance=_PATH_TOLERANCE)
        before, here = here, there
    return descend(prepared, losses, C, here, toward=before, tolerance=tolerance, exact=exact)


def fit_linear(
    x: Floats,
    y: Ints,
    *,
    n_classes: int,
    loss: Loss,
    C: float,
    sample_weight: Floats | None = None,
    normalise: Normalise | None = None,
    tolerance: float = 1e-8,
    dtype: DTypeLike = np.float64,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Fit a linear classifier.

    Parameters
    ----------
    x
        (n, d) codes of any float type, memory-mapped ones too. Constant columns get the weight 0.
    y
        (n,) class indices below ``n_classes``. A class without an image gets the weight 0 and a low intercept
        (softmax), or the weights of a class that is always rejected (SVM).
    sample_weight
        (n,) not negative.
    tolerance
        Share of the objective that may be left to gain; below 1e-6 Newton's method has the last word.

    Returns
    -------
    weight (k, d) and bias (k,) in ``dtype``; margins are ``codes @ weight.T + bias``, on codes of length 1 if
    ``normalise`` is ``l2``, else on the codes as they are.

    Raises
    ------
    UsageError
        C is not positive.
    DataError
        Codes, labels or weights cannot be used.
    """
    y = check_arguments(x, y, n_classes=n_classes, Cs=(C,), sample_weight=sample_weight)
    weights = np.ones((1, len(y))) if sample_weight is None else sample_weight[None]
    losses = Losses(loss, y, weights.astype(dtype), n_classes)
    exact = tolerance < _LBFGS_TOLERANCE
    with one_blas_thread():
        prepared = prepare(x, loss=loss, normalise=normalise, sample_weight=sample_weight, dtype=dtype)
        solved = solve_path(prepared.design, losses, C, tolerance=tolerance, exact=exact).weights
    if loss == "softmax":
        solved[:, -1] = settle_absent(solved[None, :, -1], np.array([np.count_nonzero(weights)]))[0]
    return prepared.unfold(solved)


def check_arguments(x: Floats, y: Ints, *, n_classes: int, Cs: tuple[float, ...], sample_weight: Floats | None) -> Ints:
    """Return the labels as an integer array, or say what cannot be used."""
    labels = np.asarray(y)
    if not Cs or not all(np.isfinite(C) and C > 0 for C in Cs):
        raise UsageError(f"C must be a positive number, found {Cs}")
    if x.ndim != 2 or labels.shape != (len(x),) or not len(x):
        raise DataError(f"codes must be (n, d) and labels (n,), found {x.shape} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise DataError(f"labels must lie between 0 and {n_classes - 1}, found {labels.min()} to {labels.max()}")
    if sample_weight is not None and (
        sample_weight.shape != labels.shape or not np.isfinite(sample_weight).all() or sample_weight.min() < 0
    ):
        raise DataError("sample weights must be (n,), finite and not negative")
    return labels.astype(np.intp, copy=False)
