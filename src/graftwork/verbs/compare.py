"""Two or more runs told apart on the images they all tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core import choose
from graftwork.core.metrics import Metric, confusion, mean_loss
from graftwork.core.record import Run, TestScore
from graftwork.core.stats import Share, recall_and_precision
from graftwork.errors import UsageError
from graftwork.runfolder import read_run


@dataclasses.dataclass(frozen=True)
class Changed:
    """An image of which two runs say different things."""

    name: str
    label: str
    first: str
    second: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What tells runs apart, paired per image."""

    metric: Metric
    rows: tuple[choose.Row, ...]
    """One a run; deficits are to the best of them, with intervals that hold for all pairs at once."""
    classes: tuple[str, ...]
    recall: tuple[tuple[Share, ...], ...]
    """For each run, the recall of each class."""
    changed: tuple[Changed, ...]
    """Images on which the first two runs differ, those that the second one gets right first."""


def compare(runs: Sequence[str | Path]) -> Comparison:
    """Compare runs on their test images, which must be the same.

    Raises
    ------
    UsageError
        When there are fewer than two runs, or they were tested on different images or classes.
    ModelError
        When a folder holds no whole run.
    """
    if len(runs) < 2:
        raise UsageError(f"compare needs at least two runs, got {len(runs)}; name another run's folder")
    read = [read_run(Path(folder)) for folder in runs]
    tests = [_test(run) for run in read]
    first = read[0]
    digests = [first.images.digests[row] for row in tests[0].rows]
    aligned = [tests[0].probabilities]
    for run, test in zip(read[1:], tests[1:], strict=True):
        _refuse_different(first, run, set(digests), {run.images.digests[row] for row in test.rows})
        aligned.append(_aligned(first, digests, run, test))
    y, groups = tests[0].y, np.asarray(first.images.groups)[tests[0].rows]
    metric = first.verdict.metric
    best = int(np.argmin([mean_loss(metric, y, rows) for rows in aligned]))
    labelled = [(str(folder), rows) for folder, rows in zip(runs, aligned, strict=True)]
    predicted = [rows.argmax(axis=1) for rows in aligned]
    k = len(first.classes)
    return Comparison(
        metric=metric,
        rows=choose.compare(metric, y, labelled, groups, best, seed=first.seed),
        classes=first.classes,
        recall=tuple(recall_and_precision(confusion(y, p, k))[0] for p in predicted),
        changed=_changed(first, tests[0], predicted[0], predicted[1]),
    )


def _test(run: Run) -> TestScore:
    if run.test is None:
        raise UsageError(f"compare needs runs that were tested, but {run.folder} has no test part; train with --test")
    return run.test


def _refuse_different(first: Run, run: Run, here: set[str], there: set[str]) -> None:
    if set(first.classes) != set(run.classes):
        raise UsageError(f"runs must know the same classes, but {first.folder} and {run.folder} do not")
    if here != there:
        raise UsageError(
            f"runs must be tested on the same images, but {first.folder} and {run.folder} share "
            f"{len(here & there)} of {len(here | there)}; train again with --like {first.folder}"
        )


def _aligned(first: Run, digests: Sequence[str], run: Run, test: TestScore) -> NDArray[np.float32]:
    """Return a run's rows in the order of the first run's images and classes."""
    place = {run.images.digests[row]: i for i, row in enumerate(test.rows)}
    columns = [run.classes.index(name) for name in first.classes]
    return np.asarray(test.probabilities[[place[digest] for digest in digests]][:, columns])


def _changed(run: Run, test: TestScore, one: NDArray[np.integer], two: NDArray[np.integer]) -> tuple[Changed, ...]:
    differ = np.flatnonzero(one != two)
    gained = np.argsort(~(two[differ] == test.y[differ]), kind="stable")
    return tuple(
        Changed(run.images.names[test.rows[i]], run.classes[test.y[i]], run.classes[one[i]], run.classes[two[i]])
        for i in differ[gained]
    )
