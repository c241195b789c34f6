"""Two or more runs compared on the images that they were all tested on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core import choose
from graftwork.core.arrays import Ints
from graftwork.core.facts import Metric
from graftwork.core.figures import counted, with_interval
from graftwork.core.metrics import mean_loss
from graftwork.core.record import Run, TestScore
from graftwork.core.shown import Fact, Shown
from graftwork.core.stats import Share, recall_and_precision
from graftwork.errors import UsageError
from graftwork.images.listing import with_near_names
from graftwork.runfolder import read_run


@dataclasses.dataclass(frozen=True)
class ChangedPrediction:
    """An image for which two runs predict different classes."""

    name: str
    label: str
    first: str
    second: str


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """The differences between runs, paired per image."""

    metric: Metric
    rows: tuple[choose.Row, ...]
    """One per run; deficits are relative to the best of them, with intervals that hold for all pairs at once."""
    classes: tuple[str, ...]
    recall: tuple[tuple[Share, ...], ...]
    """For each run, the recall of each class."""
    changed: tuple[ChangedPrediction, ...]
    """Images on which the first two runs differ, those that the second one predicts correctly first."""

    def _facts(self) -> tuple[Fact, ...]:
        return (
            Fact("", f"test {self.metric}"),
            *(Fact(row.label, with_interval(self.metric, row.score, row.low, row.high)) for row in self.rows),
            Fact("classified differently", counted(len(self.changed), "image")),
        )


def compare(runs: Sequence[str | Path]) -> Comparison:
    """Compare runs on their test images, which must be the same.

    Raises
    ------
    UsageError
        When there are fewer than two runs, or they were tested on different images or classes.
    ModelError
        When a folder holds no complete run.

    Examples
    --------
    >>> [row.label for row in compare(["runs/photos-001", "runs/last-layer"]).rows]
    ['runs/photos-001', 'runs/last-layer']
    """
    if isinstance(runs, (str, Path)):
        raise UsageError(f"runs must be a list of folders, but is {str(runs)!r}; give at least two in a list")
    if len(runs) < 2:
        raise UsageError(f"compare needs at least two runs, got {len(runs)}; name another run's folder")
    records = [read_run(Path(folder)) for folder in runs]
    tests = [_test(run) for run in records]
    first = records[0]
    digests = [first.images.digests[row] for row in tests[0].rows]
    aligned = [tests[0].probabilities]
    for run, test in zip(records[1:], tests[1:], strict=True):
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
        recall=tuple(recall_and_precision(y, p, groups, k)[0] for p in predicted),
        changed=_changed(first, tests[0], predicted[0], predicted[1]),
    )


def _test(run: Run) -> TestScore:
    if run.test is None:
        raise UsageError(f"compare needs runs that were tested, but {run.folder} has no test part; train with --test")
    return run.test


def _refuse_different(first: Run, run: Run, digests: set[str], others: set[str]) -> None:
    for one, other in ((first, run), (run, first)):
        if alone := set(one.classes) - set(other.classes):
            raise UsageError(
                f"runs must have the same classes, but {one.folder} has {with_near_names(alone, other.classes)} and "
                f"{other.folder} does not; train again with one set of names"
            )
    if digests != others:
        raise UsageError(
            f"runs must be tested on the same images, but {first.folder} and {run.folder} share "
            f"{len(digests & others)} of {len(digests | others)}; train again with --split-from {first.folder}"
        )


def _aligned(first: Run, digests: Sequence[str], run: Run, test: TestScore) -> NDArray[np.float32]:
    """Return a run's rows in the order of the first run's images and classes."""
    place = {run.images.digests[row]: i for i, row in enumerate(test.rows)}
    columns = [run.classes.index(name) for name in first.classes]
    return np.asarray(test.probabilities[[place[digest] for digest in digests]][:, columns])


def _changed(run: Run, test: TestScore, one: Ints, two: Ints) -> tuple[ChangedPrediction, ...]:
    differ = np.flatnonzero(one != two)
    gained = np.argsort(~(two[differ] == test.y[differ]), kind="stable")
    return tuple(
        ChangedPrediction(
            run.images.names[test.rows[i]], run.classes[test.y[i]], run.classes[one[i]], run.classes[two[i]]
        )
        for i in differ[gained]
    )
