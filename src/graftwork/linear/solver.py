"""Linear classifiers by convex minimisation: arrays in, arrays out.

Softmax: ``C * sum_i s_i * (-log p_i) + 0.5 * ||W||^2``, the intercepts free: scikit-learn's
``LogisticRegression``. With two classes scikit-learn fits one vector w; we keep one per class, and by symmetry
``W = (-w/2, w/2)``, so that our C is scikit-learn's 2C with half its objective.

SVM: ``C * sum_i s_i * max(0, 1 - t_i m_i)^2 + 0.5 * ||w||^2`` for each class against the rest, intercepts free as well:
what scikit-learn's ``LinearSVC`` tends to as ``intercept_scaling`` grows. With its default of 1 the intercepts are
penalised, which costs dearly where the classes have unlike numbers of images and the best C is small.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from graftwork.core.arrays import Floats, Ints
from graftwork.core.plans import Loss, Normalise
from graftwork.errors import DataError, UsageError
from graftwork.linear.descent import Point, descend, point_at
from graftwork.linear.design import Design, prepare
from graftwork.linear.losses import Losses
from graftwork.linear.threads import one_blas_thread

_PATH_DECADES = 8
_PATH_TOLERANCE = 1e-2
_LBFGS_TOLERANCE = 1e-6
_ABSENT_BIAS = -1e4
"""Takes a class that a training set lacks out of its softmax (the exponential is 0 in every precision), and leaves its
SVM nothing to learn (every image is far beyond the margin)."""


def zero_weights(design: Design, losses: Losses) -> Floats:
    """Weights (columns, d) to start from; the classes that a training set lacks are left out of it.

    The intercepts of an SVM are those that are best without any other weight. From 0 the first step would be worth
    taking at any C for their sake, and where C is small it would leave weights that are far from solved.
    """
    weights = np.zeros((losses.columns, design.features), design.gram.dtype)
    if losses.loss == "svm":
        of_class = losses.weights @ np.eye(losses.n_classes, dtype=losses.weights.dtype)[losses.y]
        weights[:, -1] = (2 * of_class / of_class.sum(axis=1, keepdims=True) - 1).ravel()
    weights[~losses.present().ravel(), -1] = _ABSENT_BIAS
    return weights


def settle_absent(margins: Floats, sizes: Ints) -> Floats:
    """Give classes that took no part in a training a finite margin, below that of the predicted class.

    Its odds against the predicted class are those of one image that was not there to all that were.

    Parameters
    ----------
    margins
        (n, k).
    sizes
        (n,) images of the training set behind each row.
    """
    below = margins.max(axis=1) - np.log1p(sizes).astype(margins.dtype)
    return np.where(margins < _ABSENT_BIAS / 2, below[:, None], margins)


def solve_path(design: Design, losses: Losses, C: float, *, tolerance: float, exact: bool) -> Point:
    """Solve at C, by way of stronger regularisation: each decade shows the way to the next."""
    # where loss and penalty weigh about the same; below it the problem is nearly a least-squares one
    balance = design.features / float(np.trace(design.gram, dtype=np.float64))
    decades = int(np.clip(np.ceil(np.log10(C / balance)), 0, _PATH_DECADES))
    here, before = point_at(design, zero_weights(design, losses)), None
    for decade in range(decades, 0, -1):
        there = descend(design, losses, C / 10.0**decade, here, toward=before, tolerance=_PATH_TOLERANCE)
        before, here = here, there
    return descend(design, losses, C, here, toward=before, tolerance=tolerance, exact=exact)


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
) -> tuple[Floats, Floats]:
    """Fit a linear classifier.

    Parameters
    ----------
    x
        (n, d) codes of any float type, memory-mapped ones too. Constant columns get the weight 0.
    y
        (n,) class indices below ``n_classes``. A class without an image gets the weight 0 and an intercept with which
        it wins none of the images.
    sample_weight
        (n,) not negative.
    tolerance
        The solver stops when it expects to lower the objective by no more than this share of ``max(objective, 1e-3 *
        objective at zero)``; below 1e-6 Newton's method has the last word. What is left to gain may be some hundred
        times that, where an SVM has images right at its margin: they leave it as soon as the weights move.

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
        prepared = prepare(x, normalise=normalise, sample_weight=sample_weight, dtype=dtype)
        solved = solve_path(prepared.design, losses, C, tolerance=tolerance, exact=exact)
    absent = ~losses.present()[0]
    if absent.any():
        margins = settle_absent(solved.margins.T, np.full(len(y), np.count_nonzero(weights)))
        solved.weights[absent, -1] = margins[:, absent].min()
    return prepared.unfold(solved.weights)


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
