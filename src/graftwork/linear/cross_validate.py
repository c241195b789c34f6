"""Choosing C by cross-validation on a path from strong to weak regularisation (thin: one fit a fold and C)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from graftwork.core.metrics import Metric, mean_loss, negative_log_likelihood, softmax
from graftwork.core.plans import Loss, Normalise
from graftwork.linear.solver import fit_linear

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

GRID = tuple(float(c) for c in 10.0 ** np.arange(-6, 5.5, 1.0))


@dataclasses.dataclass(frozen=True, eq=False)
class CrossValidation:
    """What was chosen, and the out-of-fold rows at the choice."""

    C: float
    temperature: float
    probabilities: NDArray[np.float32]
    margins: NDArray[np.float32]
    tried: dict[float, float]


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
    sample_weight: Floats | None = None,
) -> CrossValidation:
    tried: dict[float, float] = {}
    best: tuple[float, CrossValidation] | None = None
    falls = 0
    for C in Cs:
        margins = np.zeros((len(y), n_classes), np.float32)
        for fold in np.unique(folds):
            inside = folds != fold
            weight, bias = fit_linear(
                x[inside], y[inside], n_classes=n_classes, loss=loss, C=C, normalise=normalise, tolerance=1e-3,
                max_iterations=30, dtype=np.float32,
                sample_weight=None if sample_weight is None else sample_weight[inside],
            )
            margins[~inside] = _unit(x[~inside], normalise) @ weight.T + bias
        temperature = fit_temperature(margins, y)
        probabilities = softmax(margins, temperature)
        tried[C] = mean_loss(metric, y, probabilities)
        if best is None or tried[C] < best[0]:
            best, falls = (tried[C], CrossValidation(C, temperature, probabilities, margins, tried)), 0
        else:
            falls += tried[C] > best[0]
        if falls == 2:
            break
    assert best is not None
    return best[1]


def refit(
    x: Floats, y: Ints, *, n_classes: int, loss: Loss, C: float, normalise: Normalise = "standard",
    sample_weight: Floats | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    weight, bias = fit_linear(
        x, y, n_classes=n_classes, loss=loss, C=C, normalise=normalise, sample_weight=sample_weight, tolerance=1e-6
    )
    return weight.astype(np.float32), bias.astype(np.float32)


def fit_temperature(margins: Floats, y: Ints) -> float:
    found = minimize_scalar(
        lambda t: float(negative_log_likelihood(y, softmax(margins, np.exp(t))).mean()), bounds=(-5, 5), method="bounded"
    )
    return float(np.exp(found.x))


def _unit(x: Floats, normalise: Normalise) -> Floats:
    x = x.astype(np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) if normalise == "l2" else x
