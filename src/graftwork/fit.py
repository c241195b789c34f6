"""A chosen candidate and its images become a fitted classifier: the one place that matches on the type of a plan."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graftwork.backbones.tensors import write_tensors
from graftwork.codes.extract import LayerCodes
from graftwork.core.facts import BackboneCard
from graftwork.core.fitted import Fitted, Head
from graftwork.core.plans import Linear, Recipe
from graftwork.core.trials import Task, Trial
from graftwork.errors import UsageError
from graftwork.files import sha256_of, whole_file
from graftwork.linear.cross_validate import refit

if TYPE_CHECKING:
    from graftwork.finetune.context import FineTuneContext
    from graftwork.finetune.tune import FineTuned


def fit(trial: Trial, codes: LayerCodes, task: Task, context: FineTuneContext | None = None) -> Fitted:
    """Fit a trial's candidate again on all images of the task, with what its cross-validation has fixed.

    Where the time did not allow that, the model of one of its folds is used as it is.

    Parameters
    ----------
    codes
        Of the task's images.
    context
        Needed for a fine-tuning.

    Raises
    ------
    TrainingError
        When a fine-tuning diverges.
    """
    match trial.candidate.plan:
        case Linear() as plan:
            return _fit_linear(trial, plan, codes, task)
        case Recipe() as plan:
            if context is None:
                raise UsageError("a fine-tuning can only be fitted together with its images; use `train`")
            return _fit_tuned(trial, plan, codes, task, context)


def _fit_linear(trial: Trial, plan: Linear, codes: LayerCodes, task: Task) -> Fitted:
    taps, extraction = trial.candidate.taps, codes.extraction
    weight, bias = refit(
        codes.of(taps),
        task.y,
        n_classes=task.n_classes,
        loss=plan.loss,
        C=trial.details["C"],
        normalise=plan.normalise,
        sample_weight=task.sample_weight,
    )
    by_name = {tap.name: tap for tap in extraction.card.taps}
    return Fitted(
        card=extraction.card,
        taps=tuple(by_name[name] for name in taps),
        head=Head(weight, bias, task.classes, trial.details["temperature"]),
        engine=extraction.engine,
        normalise="l2" if plan.normalise == "l2" else "none",
        views=extraction.views,
        code_dtype=extraction.dtype,
    )


def _fit_tuned(trial: Trial, plan: Recipe, codes: LayerCodes, task: Task, context: FineTuneContext) -> Fitted:
    from graftwork.finetune.fold import tune_fold

    candidate, extraction, C = trial.candidate, codes.extraction, trial.details["C"]
    fold = trial.details.get("fold")
    if fold is None:
        training = dataclasses.replace(plan, alpha=1.0, patience=None, stop_at=round(trial.details["epochs"]))
        left_out, checkpoint = np.zeros(0, np.int64), context.refit_place(candidate, C)
    else:  # goes on from its last epoch: there is nothing left to train
        training = dataclasses.replace(plan, alpha=1.0)
        left_out = np.flatnonzero(task.folds == fold)
        checkpoint = context.fold_place(candidate, C, round(fold)) / "checkpoint"
    (tuned,) = tune_fold(
        training, C, codes, task, left_out, alphas=(plan.alpha,), context=context, checkpoint=checkpoint
    )
    card = _tuned_card(extraction.card, tuned, context.folder / f"{candidate.key}.safetensors")
    head = Head(*tuned.head, task.classes, trial.details["temperature"])
    return Fitted(
        card=card, taps=card.taps, head=head, engine=extraction.engine, views=candidate.views, code_dtype="float32"
    )


def _tuned_card(card: BackboneCard, tuned: FineTuned, path: Path) -> BackboneCard:
    """Write the fine-tuned weights, and return the card of the network with these weights."""
    with whole_file(path) as part:
        write_tensors(part, tuned.body)
    return dataclasses.replace(
        card,
        name=f"{card.name}, tuned",
        source="file",
        weights=str(path),
        weights_sha256=sha256_of(path),
        taps=card.taps[-1:],
        # training measures them first (``finetune.batchnorm``)
        batchnorm_statistics="remeasured" if card.batchnorm_statistics == "identity" else card.batchnorm_statistics,
        top1_on_photos=None,
    )
