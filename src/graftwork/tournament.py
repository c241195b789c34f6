"""Candidates run on the same folds; ``core.choose`` judges them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.codes.extract import LayerCodes
from graftwork.core.facts import Cost
from graftwork.core.metrics import Metric
from graftwork.core.plans import Candidate, Linear
from graftwork.core.trials import Baseline, Trial
from graftwork.fit import class_weights
from graftwork.linear.cross_validate import cross_validate

Ints = NDArray[np.integer]


def run_trials(
    candidates: Sequence[Candidate],
    codes: LayerCodes,
    y: Ints,
    folds: Ints,
    *,
    n_classes: int,
    metric: Metric,
    balanced: bool,
    on_trial: Callable[[int, int], None] | None = None,
) -> Iterator[Trial]:
    """Cross-validate each candidate on the codes (n, d) of its layers; codes are gathered once per set of layers."""
    weights = class_weights(y, n_classes, balanced)
    gathered: tuple[tuple[str, ...], NDArray[np.floating]] | None = None
    for number, candidate in enumerate(candidates):
        begin = time.perf_counter()
        if gathered is None or gathered[0] != candidate.taps:
            gathered = (candidate.taps, codes.of(candidate.taps))
        match candidate.plan:
            case Linear(loss, normalise):
                found = cross_validate(
                    gathered[1],
                    y,
                    folds,
                    n_classes=n_classes,
                    loss=loss,
                    metric=metric,
                    normalise=normalise,
                    sample_weight=weights,
                )
                details = {"C": float(found.C), "temperature": float(found.temperature)}
        yield Trial(candidate, found.probabilities, Cost(time.perf_counter() - begin), details)
        if on_trial is not None:
            on_trial(number + 1, len(candidates))


def run_baselines(
    features: Mapping[str, NDArray[np.floating]], y: Ints, folds: Ints, *, n_classes: int, metric: Metric
) -> tuple[Baseline, ...]:
    """Judge what can be known without the network: the majority class, and a softmax on each set of features.

    The majority class is that of all images and the same for each: the out-of-fold majority of balanced classes
    is always the wrong one, and would be too easy to beat.
    """
    share = (np.bincount(y, minlength=n_classes) / len(y)).astype(np.float32)
    rows = [Baseline("majority class", np.tile(share, (len(y), 1)))]
    for name, values in features.items():
        found = cross_validate(values, y, folds, n_classes=n_classes, loss="softmax", metric=metric)
        rows.append(Baseline(name, found.probabilities))
    return tuple(rows)
