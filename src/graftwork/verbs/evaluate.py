"""A model scored on labelled images; images that it was trained on are scored separately."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Ints, Mask
from graftwork.core.figures import counted
from graftwork.core.findings import Finding, findings_in_short
from graftwork.core.options import DataOptions
from graftwork.core.record import Run
from graftwork.core.scoring import Score, score
from graftwork.core.shown import Fact, Shown
from graftwork.core.stats import Share, recall_and_precision
from graftwork.errors import DataError
from graftwork.images.measurements import cached_measurements, joined
from graftwork.images.near_duplicates import near_duplicates
from graftwork.listener import Listener
from graftwork.model.load import load
from graftwork.model.predict import CHUNK, Model
from graftwork.progress import Stages
from graftwork.runfolder import read_run
from graftwork.steps.prepare import CheckedImages, check_images


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """The scores of a model on labelled images."""

    fresh: Score
    """On images that the model was not trained on."""
    trained_on: Score | None
    """On exact copies and near-duplicates of its training images; None where there are none."""
    exact: int
    """Number of images that are exact copies of training images."""
    near: int | None
    """Number of images that are near-duplicates of training images; None where the measurements of the training images
    are no longer cached."""
    classes: tuple[str, ...]
    recall: tuple[Share, ...]
    precision: tuple[Share, ...]
    findings: tuple[Finding, ...]

    def _facts(self) -> tuple[Fact, ...]:
        scores = {"new images": self.fresh, "trained on": self.trained_on}
        return (
            Fact("", self.fresh.metric),
            *(
                Fact(which, f"{score.in_words}, {counted(score.images, 'image')}")
                for which, score in scores.items()
                if score is not None
            ),
            Fact("findings", findings_in_short(self.findings)),
        )

    def is_at_least(self, share: float) -> bool:
        """Whether new images show a score of at least ``share``: the lower bound of its interval is not below it."""
        return self.fresh.low is not None and self.fresh.low >= share


def evaluate(
    run: str | Path,
    data: str | Path,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    label_level: int | None = None,
    group_by: str | None = None,
    listener: Listener | None = None,
) -> Evaluation:
    """Score the model of a run on labelled images; classes are matched by name.

    Parameters
    ----------
    run
        A run's folder.
    data, image_column, label_column, label_level, group_by
        As in ``train``.

    Raises
    ------
    DataError
        When the images have no labels or an unknown class, or the model was trained on all of them.
    ModelError
        When the folder holds no complete run.

    Examples
    --------
    >>> evaluation = evaluate("runs/photos-001", "new-photos")
    >>> evaluation.fresh.images
    30
    >>> evaluation.is_at_least(0.99)
    False
    """
    options = DataOptions(
        image_column=image_column, label_column=label_column, label_level=label_level, group_by=group_by
    )
    stages = Stages(listener)
    record = read_run(Path(run))
    model = load(run)
    with stages.stage("images"):
        checked = check_images(data, options, listener=stages.listener)
        y = checked.labels_in(model.classes)
    with stages.stage("training images"):
        trained = _training_digests(record)
        exact = np.isin(checked.images.digests, trained)
        near = _near(checked, exact, trained)
    with stages.stage("predict"):
        rows = _probabilities(checked, model, stages.listener)
    known = exact | near if near is not None else exact
    if known.all():
        raise DataError(
            f"{data} must hold images that the model was not trained on, but it was trained on all of them; give others"
        )
    fresh = np.flatnonzero(~known)

    def score_of(inside: Ints) -> Score:
        groups = checked.groups[inside]
        return score(record.verdict.metric, y[inside], rows[inside], groups)

    recall, precision = recall_and_precision(
        y[fresh], rows[fresh].argmax(axis=1), checked.groups[fresh], len(model.classes)
    )
    return Evaluation(
        fresh=score_of(fresh),
        trained_on=score_of(np.flatnonzero(known)) if known.any() else None,
        exact=int(exact.sum()),
        near=None if near is None else int((near & ~exact).sum()),
        classes=model.classes,
        recall=recall,
        precision=precision,
        findings=checked.findings,
    )


def _training_digests(run: Run) -> list[str]:
    """Digests of the images that a run's model was fitted on: those of the test part too after ``final="all"``."""
    parts = ("develop", "test") if run.settings["final"] == "all" else ("develop",)
    return [digest for digest, part in zip(run.images.digests, run.images.parts, strict=True) if part in parts]


def _near(checked: CheckedImages, exact: Mask, trained: list[str]) -> Mask | None:
    """(n,) images with an exact copy or a near-duplicate among the training images."""
    before = cached_measurements(trained)
    if before is None:
        return None
    labels = np.concatenate([checked.images.labels, np.full(len(before), -1)])
    groups = near_duplicates(joined(checked.measurements, before), labels).groups
    n = len(checked.images)
    return np.asarray(np.isin(groups[:n], groups[n:]) | exact)


def _probabilities(checked: CheckedImages, model: Model, listener: Listener) -> NDArray[np.float32]:
    images = checked.images
    rows = np.empty((len(images), len(model.classes)), np.float32)
    for begin in range(0, len(images), CHUNK):
        inside = range(begin, min(begin + CHUNK, len(images)))
        rows[begin : begin + CHUNK] = model.probabilities([images.read(i) for i in inside])
        listener.progress(inside[-1] + 1, len(images))
    return rows
