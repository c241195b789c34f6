"""Trials: what happened when a candidate was tried, as out-of-fold probability rows."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graftwork.core.facts import Cost
from graftwork.core.metrics import Metric
from graftwork.core.plans import Candidate

Ended = Literal["whole", "another stood for it", "dropped early", "went astray", "cut short"]
"""``another stood for it``: run to its end, but a better one of its kind went on in its place; ``dropped early``:
others were clearly ahead on the folds that were run; ``went astray``: its loss was no number any more; ``cut
short``, by the time limit or by the user, says nothing of it.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """What every candidate is tried on, and by what it is judged."""

    y: NDArray[np.integer]
    """(n_develop,) class indices."""
    folds: NDArray[np.integer]
    """(n_develop,) of the cross-validation."""
    n_classes: int
    metric: Metric
    balanced: bool
    """Classes weigh the same in fitting, however many images they have."""

    @property
    def n_folds(self) -> int:
        """Folds of the cross-validation."""
        return len(np.unique(self.folds))


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """A candidate judged on images it was not fitted on."""

    candidate: Candidate
    probabilities: NDArray[np.float32]
    """(n_develop, k) out of fold, in the order of the develop part; NaN in folds that were not run."""
    cost: Cost
    details: dict[str, float]
    """What was chosen inside: ``C`` and ``temperature`` of a linear plan, ``temperature`` and ``epochs`` of a
    recipe."""
    ended: Ended = "whole"
    curve: tuple[tuple[float, float], ...] = ()
    """After each epoch the loss on the images trained on, and the log loss on those left out, mean of the folds."""

    seed_losses: tuple[float, ...] = ()
    """Loss of the metric with each seed of a fine-tuning, on the same folds; empty where one seed was run."""

    @property
    def run(self) -> NDArray[np.bool_]:
        """(n_develop,) images of the folds that were run."""
        return ~np.isnan(self.probabilities[:, 0])


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a candidate of the tournament stands while it goes on."""

    label: str
    state: str
    """Such as ``fold 2 of 5, epoch 3 of 12``, ``waiting`` or ``dropped early``."""
    folds: int = 0
    """Folds that it has finished."""
    accuracy: float | None = None
    """Share of the images of these folds that were read right; None before the first."""
    seconds_left: float | None = None
    """Until it has run to its end; None where that is not known."""


@dataclasses.dataclass(frozen=True, eq=False)
class Baseline:
    """A cheap row that stands beside every candidate: what can be known without the network."""

    name: str
    """``majority class``, ``file facts`` or ``16 x 16 pixels``."""
    probabilities: NDArray[np.float32]
    """(n_develop, k); out of fold, but for the majority class, which is the same for every image."""
