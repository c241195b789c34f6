"""Probabilities from decision values: one number for all classes (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np

from graftwork.core.arrays import Floats, Ints

_LEAST, _MOST = 1e-4, 1e4
_STEPS = 50
_PRECISION = 1e-3
"""Relative; what it leaves of the log loss to gain is its square."""


def fit_temperature(margins: Floats, y: Ints) -> float:
    """Return T of the least mean log loss of ``softmax(margins / T)``, between 1e-4 and 1e4.

    Every label counts as if it were off with odds 1 : n (Platt 2000), so that margins which are never wrong do not
    make an image certain.

    Parameters
    ----------
    margins
        (n, k) decision values of images that the classifier has not seen.
    y
        (n,) class indices.
    """
    values = margins - margins.max(axis=1, keepdims=True)
    n = len(y)
    off = 1 / (n + 1)
    target = (1 - off) * values[np.arange(n), y].mean(dtype=np.float64) + off * values.mean(dtype=np.float64)
    low, high = 1 / _MOST, 1 / _LEAST
    sharpness = 1.0  # 1 / T: the log loss is convex in it, its slope is E[margin] - target
    for _ in range(_STEPS):
        slope, bend = _moments(values, sharpness)
        slope -= target
        low, high = (sharpness, high) if slope < 0 else (low, sharpness)
        step = sharpness - slope / bend if bend > 0 else 0.0
        if abs(step - sharpness) <= _PRECISION * sharpness:
            sharpness = step
            break
        sharpness = step if low < step < high else float(np.sqrt(low * high))
        if high - low <= _PRECISION * low:
            break
    return float(1 / np.clip(sharpness, 1 / _MOST, 1 / _LEAST))


def _moments(values: Floats, sharpness: float) -> tuple[float, float]:
    """Mean over images of the margins' expectation and variance under their own softmax."""
    p = values * sharpness
    np.exp(p, out=p)
    total = p.sum(axis=1)
    p *= values
    first = p.sum(axis=1) / total
    p *= values
    second = p.sum(axis=1) / total
    return float(first.mean(dtype=np.float64)), float((second - first * first).mean(dtype=np.float64))
