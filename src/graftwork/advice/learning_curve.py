"""How accuracy grows with the number of images: a linear classifier on parts of the folds it was judged on."""

from __future__ import annotations

import numpy as np

from graftwork.core.advice import LearningCurve
from graftwork.core.arrays import Floats
from graftwork.core.splits import deal
from graftwork.core.trials import Task, Trial
from graftwork.linear.cross_validate import refit

SHARES = (1 / 8, 1 / 4, 1 / 2)
"""Of the images that a fold is fitted on."""
FEWEST_PER_CLASS = 2.0
"""Mean number of images a class below which nothing is fitted."""


def learning_curve(codes: Floats, task: Task, trial: Trial) -> LearningCurve:
    """Fit a linear trial's classifier on parts of the images, whole groups at a time, and judge it on the same folds.

    Parameters
    ----------
    codes
        (n, d) of the trial's layers.
    """
    sizes: dict[float, list[int]] = {share: [] for share in SHARES}
    right = {share: np.zeros(len(task.y), bool) for share in SHARES}
    folds = np.unique(task.folds)
    rng = np.random.default_rng(task.seed)
    for fold in folds:
        judged = np.flatnonzero(task.folds == fold)
        inside = np.flatnonzero(task.folds != fold)
        for share in SHARES:
            if share * len(inside) < FEWEST_PER_CLASS * task.n_classes:
                continue
            part = inside[deal(task.y[inside], task.groups[inside], (share, 1 - share), rng) == 0]
            weight, bias = refit(
                codes[part],
                task.y[part],
                n_classes=task.n_classes,
                loss="softmax",
                C=trial.details["C"],
                sample_weight=task.take(part).sample_weight,
            )
            margins = codes[judged].astype(np.float32) @ weight.T + bias
            right[share][judged] = margins.argmax(axis=1) == task.y[judged]
            sizes[share].append(len(part))
    everything = round(len(task.y) * (1 - 1 / len(folds)))
    points = [
        (round(float(np.mean(sizes[share]))), float(right[share].mean()))
        for share in SHARES
        if len(sizes[share]) == len(folds)
    ]
    whole = float((trial.probabilities.argmax(axis=1) == task.y).mean())
    return LearningCurve((*points, (everything, whole)))
