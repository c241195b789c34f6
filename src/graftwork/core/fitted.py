"""What a fit leaves behind: a linear head, and where on which body it stands."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graftwork.core.facts import BackboneCard, Dtype, Tap
from graftwork.core.metrics import softmax


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier; standardisation of the codes is folded into it."""

    weight: NDArray[np.float32]
    """(k, d)."""
    bias: NDArray[np.float32]
    """(k,)."""
    classes: tuple[str, ...]
    """k names, in the order of the rows."""
    temperature: float = 1.0
    """Decision values are divided by it before the softmax (Guo et al. 2017)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A tested or shippable classifier: body, the point where it is read, and the head."""

    card: BackboneCard
    """Its ``preprocess`` is the one in force, input size and intensity range included."""
    taps: tuple[Tap, ...]
    head: Head
    engine: str
    normalise: Literal["none", "l2"] = "none"
    """``l2`` where the head wants codes of length 1; standardisation is in the head already."""
    views: int = 1
    code_dtype: Dtype = "float16"
    """Codes are rounded to it before the head, as they were when the head was fitted."""


def probabilities(fitted: Fitted, codes: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probability rows (n, k) of codes (n, d), the taps' codes side by side."""
    values = np.ascontiguousarray(codes.astype(fitted.code_dtype), np.float32)
    if fitted.normalise == "l2":
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    # einsum over contiguous rows instead of a matrix product: each row is summed in one fixed order whatever
    # the other rows are, so that an image's probabilities do not depend on its neighbours by a bit
    margins = np.einsum("nd,kd->nk", values, np.ascontiguousarray(fitted.head.weight)) + fitted.head.bias
    return softmax(margins, fitted.head.temperature)
