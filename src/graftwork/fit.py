"""A chosen candidate and its images become a fitted classifier: the one place that tells plans apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graftwork.codes.extract import LayerCodes, Reading
from graftwork.core.fitted import Fitted, Head
from graftwork.core.plans import Linear
from graftwork.core.trials import Trial
from graftwork.linear.cross_validate import refit

Ints = NDArray[np.integer]


def class_weights(y: Ints, n_classes: int, balanced: bool) -> NDArray[np.float64] | None:
    """(n,) weights that give every class the same sum, or None for one each."""
    if not balanced:
        return None
    count = np.bincount(y, minlength=n_classes)
    return np.asarray(len(y) / (np.count_nonzero(count) * count[y]))


def fit(
    trial: Trial, reading: Reading, codes: LayerCodes, y: Ints, classes: tuple[str, ...], *, balanced: bool
) -> Fitted:
    """Fit a trial's candidate again on all images (n,), with what its cross-validation fixed."""
    candidate = trial.candidate
    match candidate.plan:
        case Linear(loss, normalise):
            weight, bias = refit(
                codes.of(candidate.taps),
                y,
                n_classes=len(classes),
                loss=loss,
                C=trial.details["C"],
                normalise=normalise,
                sample_weight=class_weights(y, len(classes), balanced),
            )
            head = Head(weight, bias, classes, trial.details["temperature"])
            by_name = {tap.name: tap for tap in reading.card.taps}
            return Fitted(
                card=reading.card,
                taps=tuple(by_name[name] for name in candidate.taps),
                head=head,
                engine=reading.engine,
                normalise="l2" if normalise == "l2" else "none",
                views=reading.views,
                code_dtype=reading.dtype,
            )
