"""Which images are worth showing, and the predictions of the model that was not fitted on them."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Ints
from graftwork.core.findings import PAIR, Finding
from graftwork.core.metrics import Calibration, calibration, doubtful_labels, softmax
from graftwork.core.record import Run
from graftwork.core.splits import Split

MISTAKES, HITS, LABEL_ERRORS, EXAMPLES, ON_PROJECTION = 24, 12, 24, 6, 160
"""Maximum number of thumbnails of each kind (EXAMPLES: for each finding)."""


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredImages:
    """Images with the probability rows of a model that was not fitted on them."""

    rows: Ints
    """(m,) rows of the run's image table."""
    y: Ints
    """(m,) class indices."""
    probabilities: NDArray[np.float32]
    """(m, k)."""
    tested: bool
    """Whether they were not used for the choice either."""

    @property
    def predicted(self) -> Ints:
        """(m,) class indices."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(m,) probability of the predicted class."""
        return np.asarray(self.probabilities.max(axis=1))


@dataclasses.dataclass(frozen=True)
class Pick:
    """One image worth showing."""

    row: int
    """Row of the run's image table."""
    label: int
    """Class that was given."""
    other: int
    """Class that was predicted, or is suggested."""
    label_probability: float
    other_probability: float


def out_of_fold(run: Run) -> ScoredImages:
    """The develop images of the folds that were run, with the chosen candidate's out-of-fold rows."""
    trial = run.trials[run.verdict.chosen]
    return ScoredImages(run.develop[trial.run], run.y[trial.run], trial.probabilities[trial.run], tested=False)


def scored(run: Run) -> ScoredImages:
    """The tested images, or the develop images out of fold where nothing was tested."""
    if run.test is None:
        return out_of_fold(run)
    return ScoredImages(run.test.rows, run.test.y, run.test.probabilities, tested=True)


def mistakes(run: Run, limit: int = MISTAKES) -> list[Pick]:
    """The most confident mistakes, the most confident first."""
    images = scored(run)
    wrong = np.flatnonzero(images.predicted != images.y)
    return _picks(images, wrong[np.argsort(-images.confidence[wrong], kind="stable")][:limit], images.predicted)


def least_confident_hits(run: Run, limit: int = HITS) -> list[Pick]:
    """Correct predictions with the lowest confidence, the lowest first."""
    images = scored(run)
    right = np.flatnonzero(images.predicted == images.y)
    second = np.argsort(images.probabilities, axis=1)[:, -2]
    return _picks(images, right[np.argsort(images.confidence[right], kind="stable")][:limit], second)


def possible_label_errors(run: Run, limit: int = LABEL_ERRORS) -> tuple[list[Pick], int]:
    """Develop images whose label looks wrong out of fold, the most suspicious first, and how many there are in all."""
    images = out_of_fold(run)
    doubtful = doubtful_labels(images.y, images.probabilities)
    suggested = images.y.copy()
    suggested[doubtful.rows] = doubtful.suggested
    return _picks(images, doubtful.rows[:limit], suggested), len(doubtful.rows)


def _picks(images: ScoredImages, positions: Ints, other: Ints) -> list[Pick]:
    return [
        Pick(
            row=int(images.rows[i]),
            label=int(images.y[i]),
            other=int(other[i]),
            label_probability=float(images.probabilities[i, images.y[i]]),
            other_probability=float(images.probabilities[i, other[i]]),
        )
        for i in positions
    ]


def example_rows(run: Run, finding: Finding) -> list[tuple[str, tuple[int, ...]]]:
    """The images, or pairs of images, that a finding names, with their rows in the image table where they have one."""
    row_of = {name: row for row, name in enumerate(run.images.names)}

    def rows(named: str) -> tuple[int, ...]:
        names = [named] if named in row_of else named.split(PAIR)
        return tuple(row_of[name] for name in names if name in row_of)

    return [(named, rows(named)) for named in finding.examples[:EXAMPLES]]


def predictions(run: Run) -> tuple[Ints, NDArray[np.float32]]:
    """Class (-1 where none) and its probability for every row of the image table, never by a model fitted on it."""
    n = len(run.images.names)
    predicted, confidence = np.full(n, -1), np.zeros(n, np.float32)
    for images in (out_of_fold(run), scored(run)):
        predicted[images.rows], confidence[images.rows] = images.predicted, images.confidence
    return predicted, confidence


def labels(run: Run) -> Ints:
    """Class index of every row of the image table."""
    index = {name: c for c, name in enumerate(run.classes)}
    return np.array([index.get(label, -1) for label in run.images.labels])


def on_projection(run: Run, limit: int = ON_PROJECTION) -> Ints:
    """Rows of the projection that get a thumbnail: half of them mistakes if there are enough, the others at random."""
    if run.projection is None:
        return np.zeros(0, int)
    rows = np.random.default_rng(run.seed).permutation(run.projection.rows)
    predicted, _ = predictions(run)
    wrong = (predicted[rows] >= 0) & (predicted[rows] != labels(run)[rows])
    first = rows[wrong][: limit // 2]
    return np.concatenate([first, rows[~np.isin(rows, first)]])[:limit]


def images_to_show(run: Run) -> Ints:
    """Rows of the image table that get a thumbnail in the report, the most important first, none twice."""
    named = [row for f in run.findings for _, examples in example_rows(run, f) for row in examples]
    picks = [*mistakes(run), *possible_label_errors(run)[0], *least_confident_hits(run)]
    rows = [*(pick.row for pick in picks), *named, *on_projection(run).tolist()]
    return np.array(list(dict.fromkeys(rows)), dtype=np.int64)


def split_digest(run: Run) -> str:
    """16 hexadecimal digits that name the run's split."""
    part = np.array(run.images.parts)
    test, left_out = np.flatnonzero(part == "test"), np.flatnonzero(part == "left out")
    folds = np.array(run.images.folds, dtype=np.int64)[run.develop]
    return Split(run.develop, test, left_out, folds, np.array(run.images.groups), run.seed).digest


def before_temperature(run: Run) -> Calibration | None:
    """Calibration as it was before the temperature of the chosen trial was applied; None where there was none."""
    temperature = run.trials[run.verdict.chosen].details.get("temperature", 1.0)
    nested = run.test is not None and run.test.how == "nested cross-validation"  # every fold had its own
    if temperature == 1.0 or nested:
        return None
    images = scored(run)
    logs = np.log(np.maximum(images.probabilities.astype(np.float64), 1e-38))
    return calibration(images.y, softmax(logs, 1 / temperature))
