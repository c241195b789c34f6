"""A model scored on labelled images; those it was trained on are found and scored apart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Ints
from graftwork.core.choose import Score, score
from graftwork.core.metrics import confusion
from graftwork.core.record import Run
from graftwork.core.findings import Finding
from graftwork.core.stats import Share, recall_and_precision
from graftwork.errors import DataError
from graftwork.images.measurements import cached_measurements, joined
from graftwork.images.near_duplicates import near_duplicates
from graftwork.listener import Listener, Stages
from graftwork.model.load import CHUNK, Model, load
from graftwork.runfolder import read_run
from graftwork.steps.prepare import CheckedImages, check_images


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model reads on images."""

    fresh: Score
    """On images that the model was not trained on."""
    trained_on: Score | None
    """On those that it was trained on, exact or near; None where there are none."""
    exact: int
    """Images that are files that the model was trained on."""
    near: int | None
    """Images that are near-duplicates of such; None where the training images' looks are no longer kept."""
    classes: tuple[str, ...]
    recall: tuple[Share, ...]
    precision: tuple[Share, ...]
    findings: tuple[Finding, ...]


def evaluate(
    run: str | Path, data: str | Path, *, group_by: str | None = None, listener: Listener | None = None
) -> Evaluation:
    """Score the model of a run on labelled images; classes are matched by name.

    Raises
    ------
    DataError
        When the images have no labels, or a class that the model does not know, or were all trained on.
    ModelError
        When the folder holds no whole run.
    """
    stages = Stages(listener or Listener())
    record = read_run(Path(run))
    model = load(run)
    with stages.stage("images"):
        checked = check_images(data, group_by=group_by, listener=stages.listener)
        y = checked.numbers(model.classes)
    with stages.stage("training images"):
        trained = _trained_on(record)
        exact = np.isin(checked.images.digests, trained)
        near = _near(checked, exact, trained)
    with stages.stage("predict"):
        rows = _probabilities(checked, model, stages.listener)
    old = exact | near if near is not None else exact
    if old.all():
        raise DataError(f"{data} must hold images that the model was not trained on, but it was trained on all of them")
    fresh = np.flatnonzero(~old)

    def score_of(inside: Ints) -> Score:
        groups = checked.groups[inside]
        return score(record.verdict.metric, y[inside], rows[inside], groups, seed=record.seed)

    recall, precision = recall_and_precision(confusion(y[fresh], rows[fresh].argmax(axis=1), len(model.classes)))
    return Evaluation(
        fresh=score_of(fresh),
        trained_on=score_of(np.flatnonzero(old)) if old.any() else None,
        exact=int(exact.sum()),
        near=None if near is None else int((near & ~exact).sum()),
        classes=model.classes,
        recall=recall,
        precision=precision,
        findings=checked.findings,
    )


def _trained_on(run: Run) -> list[str]:
    """Digests of the images that the model in a run's folder was fitted on: the test part too after ``final="all"``."""
    parts = ("develop", "test") if run.settings.get("final") == "all" else ("develop",)
    return [digest for digest, part in zip(run.images.digests, run.images.parts, strict=True) if part in parts]


def _near(checked: CheckedImages, exact: NDArray[np.bool_], trained: list[str]) -> NDArray[np.bool_] | None:
    """(n,) images with a near-duplicate among those that the model was trained on."""
    before = cached_measurements(trained)
    if before is None:
        return None
    found = near_duplicates(
        joined(checked.measurements, before), np.concatenate([checked.images.labels, np.full(len(before), -1)])
    )
    groups = found.groups
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
