"""What computing the network in 8 bits changes, measured on images to develop on; ``core.int8`` judges."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.engines import Engine, is_int8, open_engine
from graftwork.codes.extract import LayerCodes, extract
from graftwork.codes.settings import ExtractionSettings
from graftwork.codes.store import Store
from graftwork.core.facts import BackboneCard
from graftwork.core.fitted import Fitted, Head, probabilities
from graftwork.core.int8 import Int8Change, RowsOf, int8_change
from graftwork.core.options import JudgingOptions
from graftwork.core.plans import Linear
from graftwork.core.record import Run
from graftwork.core.stats import shared_training
from graftwork.core.trials import Task, Trial
from graftwork.images.imageset import ImageSet
from graftwork.linear.cross_validate import refit
from graftwork.linear_trials import run_trials
from graftwork.listener import Listener
from graftwork.steps.backbones import Backbones

SAMPLE = 500
"""Maximum number of validation images on which a run compares 8 bits with float32."""


def change_of_model(
    run: Run,
    fitted: Fitted,
    body: BackboneCard,
    develop: ImageSet,
    engine: Callable[[], Engine],
    name: str,
    listener: Listener,
) -> Int8Change:
    """Compare a run's model with the same one on an engine in 8 bits: its head stays as it is.

    A linear classifier is compared on validation images, with the heads of the folds, which are fitted again on the
    run's own codes. A fine-tuned one is compared on the images that it was tuned on.

    Parameters
    ----------
    body
        Its card with the place of its weights.
    develop
        The images to develop on, in the order of the run's record.
    engine, name
        The one in 8 bits, with the layers of the model.
    """
    store = Store()
    taps = [tap.name for tap in fitted.taps]
    own = ExtractionSettings(fitted.card, fitted.engine, fitted.views, fitted.code_dtype)
    saved = fitted.card if is_int8(fitted.engine) else body  # one in 8 bits is found by what it was made of
    before = extract(develop, own, lambda: open_engine(saved, fitted.engine), store, listener=listener)
    after = extract(develop, _with(own, fitted, name), engine, store, listener=listener)
    task, trial = _task(run), run.trials[run.verdict.chosen]
    rows_of: RowsOf = "images that the network was fine-tuned on"
    widening = 1.0
    if isinstance(plan := trial.candidate.plan, Linear):
        rows_of, widening = "validation images", shared_training(task.n_folds, task.n_folds)
        first, second = _out_of_fold(trial, plan, fitted, before, after, task)
    else:
        first, second = (probabilities(fitted, codes.of(taps)) for codes in (before, after))
    return int8_change(
        task.y, first, second, task.groups, engines=(fitted.engine, name), rows_of=rows_of, seed=run.seed,
        widening=widening,
    )  # fmt: skip


def change_of_candidate(trial: Trial, task: Task, backbones: Backbones) -> Int8Change | None:
    """Compare a linear candidate on codes in 8 bits with the same on the engine that was chosen by measuring.

    On some images to develop on, and with heads that were fitted on either codes; None where nothing is in 8 bits.
    """
    backbone = backbones.of(trial.candidate)
    plain = backbone.in_float()
    if plain is backbone:
        return None
    rows = np.unique(np.linspace(0, len(task.y) - 1, SAMPLE).astype(np.intp))
    images, some = backbones.develop.take(rows), task.take(rows)
    engines = plain.extraction.engine, backbone.extraction.engine
    first, second = (
        next(run_trials([trial.candidate], lambda _, codes=codes: codes, some)).probabilities  # type: ignore[misc]
        for codes in (plain.codes(images, backbones.listener), backbone.codes(images))
    )
    return int8_change(
        some.y, first, second, some.groups, engines=engines, rows_of="validation images", seed=task.seed,
        widening=shared_training(some.n_folds, some.n_folds),
    )  # fmt: skip


def _with(own: ExtractionSettings, fitted: Fitted, name: str) -> ExtractionSettings:
    return dataclasses.replace(own, card=dataclasses.replace(own.card, taps=fitted.taps), engine=name)


def _task(run: Run) -> Task:
    """What the candidates of a run were tried on."""
    judging = JudgingOptions(metric=run.settings["metric"], class_weight=run.settings["class_weight"])
    return Task(
        y=run.y,
        groups=np.array([run.images.groups[row] for row in run.develop]),
        folds=np.array([run.images.folds[row] for row in run.develop]),
        classes=run.classes,
        metric=judging.metric,
        balanced=judging.balanced,
        seed=run.seed,
    )


def _out_of_fold(
    trial: Trial, plan: Linear, fitted: Fitted, before: LayerCodes, after: LayerCodes, task: Task
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n, k) rows twice: each image by the head of its fold, which was fitted on the codes before.

    Images outside a fold weigh nothing there, and codes are standardised over all, as in the cross-validation.
    """
    rows = np.zeros((2, len(task.y), task.n_classes), np.float32)
    taps, weight = trial.candidate.taps, np.ones(len(task.y)) if task.sample_weight is None else task.sample_weight
    for fold in np.unique(task.folds):
        matrices = refit(
            before.of(taps), task.y, n_classes=task.n_classes, loss=plan.loss, C=trial.details["C"],
            normalise=plan.normalise, sample_weight=weight * (task.folds != fold),
        )  # fmt: skip
        of_fold = dataclasses.replace(fitted, head=Head(*matrices, task.classes, trial.details["temperature"]))
        outside = np.flatnonzero(task.folds == fold)
        for which, codes in enumerate((before, after)):
            rows[which, outside] = probabilities(of_fold, codes.take(outside).of(taps))
    return rows[0], rows[1]
