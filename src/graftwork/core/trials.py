"""Trials: what happened when a candidate was tried, as out-of-fold probability rows."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Ints, Mask
from graftwork.core.facts import Metric
from graftwork.core.plans import Candidate

TOLERANCE = 0.01
"""How much worse than the best a cheaper candidate may be, in the metric's own unit."""

Ended = Literal["completed", "represented", "eliminated", "diverged", "interrupted"]
"""How a trial ended.

- ``completed``: it ran on every fold that the finalists ran on.
- ``represented``: it ran on every fold, but only the best linear candidate is compared with the fine-tunings, on the
  folds that these had time for.
- ``eliminated``: others were ahead on the folds that it ran on, and had the time (successive halving).
- ``diverged``: its loss became NaN or infinite.
- ``interrupted``: the time limit ended it, which says nothing about it.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """What every candidate is tried on, and by what it is judged."""

    y: Ints
    """(n,) class indices."""
    groups: Ints
    """(n,) images of one number belong together."""
    folds: Ints
    """(n,) of the cross-validation; all 0 where one classifier gave the rows of every image."""
    classes: tuple[str, ...]
    """k names."""
    metric: Metric = "accuracy"
    balanced: bool = False
    """Classes weigh the same in fitting, however many images they have."""
    tolerance: float = TOLERANCE
    """How much worse than the best a cheaper candidate may be."""
    seed: int = 0

    @property
    def n_classes(self) -> int:
        """Number of classes, those without an image here included."""
        return len(self.classes)

    @property
    def n_folds(self) -> int:
        """Folds of the cross-validation."""
        return len(np.unique(self.folds))

    @property
    def class_weights(self) -> NDArray[np.float64] | None:
        """(k,) weights that give every class the same sum over its images; None where every image weighs 1."""
        if not self.balanced:
            return None
        count = np.bincount(self.y, minlength=self.n_classes)
        return np.asarray(len(self.y) / (np.count_nonzero(count) * np.maximum(count, 1)))

    @property
    def sample_weight(self) -> NDArray[np.float64] | None:
        """(n,) the weight of each image's class; None where every image weighs 1."""
        weights = self.class_weights
        return None if weights is None else np.asarray(weights[self.y])

    def take(self, rows: Ints, folds: Ints | None = None) -> Task:
        """Return the task on some of the images, (m,) indices, with their folds or with others (m,)."""
        return dataclasses.replace(
            self, y=self.y[rows], groups=self.groups[rows], folds=self.folds[rows] if folds is None else folds
        )


Curve = tuple[tuple[float, float], ...]
"""A learning curve: after each epoch the training loss and the log loss on validation images."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """A candidate judged on images it was not fitted on."""

    candidate: Candidate
    probabilities: NDArray[np.float32]
    """(n_develop, k) out of fold, in the order of the develop part; NaN in folds that were not run."""
    fit_seconds: float
    details: dict[str, float]
    """What was chosen inside: ``C`` and ``temperature`` of a linear plan; ``C``, ``temperature`` and ``epochs`` of a
    recipe, and ``fold`` where the time does not allow to fit it again: the model of that fold is used."""
    ended: Ended = "completed"
    curve: Curve = ()
    """The mean of the folds."""
    seed_losses: tuple[float, ...] = ()
    """Loss of the metric with each seed of a fine-tuning, on the same folds; empty where one seed was run."""

    @property
    def run(self) -> Mask:
        """(n_develop,) images of the folds that were run."""
        return np.asarray(~np.isnan(self.probabilities[:, 0]))


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a candidate of the tournament stands while it goes on."""

    label: str
    state: str
    """Such as ``fold 2 of 5, epoch 3 of 12``, ``waiting`` or ``eliminated``."""
    folds: int = 0
    """Folds that it has finished."""
    accuracy: float | None = None
    """Accuracy on the images of these folds; None before the first."""
    seconds_left: float | None = None
    """Until it has completed; None where that is not known."""


MAJORITY = "majority class"
"""The baseline that names the largest class every time, whatever the image."""


@dataclasses.dataclass(frozen=True, eq=False)
class Baseline:
    """What can be known without the network, to compare every candidate with."""

    name: str
    """``majority class``, ``file facts`` or ``16 x 16 pixels``."""
    probabilities: NDArray[np.float32]
    """(n_develop, k); out of fold, except for the majority class, which is the same for every image."""
