"""Linear candidates and baselines, cross-validated on the folds of a task; ``core.choose`` judges them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from graftwork.codes.extract import CodesOf
from graftwork.core.arrays import Floats
from graftwork.core.plans import Candidate, linear_of
from graftwork.core.trials import MAJORITY, Baseline, Task, Trial
from graftwork.linear.cross_validate import cross_validate
from graftwork.listener import SILENT, Listener
from graftwork.workfolder import load_trial, save_trial


def run_trials(
    candidates: Sequence[Candidate],
    codes_of: CodesOf,
    task: Task,
    *,
    folder: Path | None = None,
    listener: Listener = SILENT,
) -> Iterator[Trial]:
    """Cross-validate linear candidates on the codes (n, d) of their layers, gathered once per set of layers.

    Parameters
    ----------
    folder
        Where trials are saved, so that a run that was stopped does not repeat them; it belongs to one task.
    """
    gathered: tuple[tuple[object, ...], Floats] | None = None
    for number, candidate in enumerate(candidates, 1):
        place = None if folder is None else folder / f"{candidate.key}.npz"
        saved = None if place is None else load_trial(place, candidate)
        if saved is not None:
            yield saved
            listener.progress(number, len(candidates))
            continue
        begin = time.perf_counter()
        plan = linear_of(candidate)
        layers = (candidate.backbone, candidate.views, candidate.taps)
        if gathered is None or gathered[0] != layers:
            gathered = (layers, codes_of(candidate).of(candidate.taps))
        result = cross_validate(
            gathered[1],
            task.y,
            task.folds,
            n_classes=task.n_classes,
            loss=plan.loss,
            metric=task.metric,
            normalise=plan.normalise,
            sample_weight=task.sample_weight,
        )
        details = {"C": float(result.C), "temperature": float(result.temperature)}
        trial = Trial(candidate, result.probabilities, time.perf_counter() - begin, details)
        if place is not None:
            save_trial(place, trial)
        yield trial
        listener.progress(number, len(candidates))


def run_baselines(features: Mapping[str, Floats], task: Task) -> tuple[Baseline, ...]:
    """Judge what can be known without the network: the majority class, and a softmax on each set of features (n, d).

    The majority class is that of all images and the same for each: the out-of-fold majority of balanced classes
    is always the wrong one, and would be too easy to beat.
    """
    n = len(task.y)
    share = (np.bincount(task.y, minlength=task.n_classes) / n).astype(np.float32)
    rows = [Baseline(MAJORITY, np.tile(share, (n, 1)))]
    for name, values in features.items():
        result = cross_validate(
            values, task.y, task.folds, n_classes=task.n_classes, loss="softmax", metric=task.metric
        )
        rows.append(Baseline(name, result.probabilities))
    return tuple(rows)
