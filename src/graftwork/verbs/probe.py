"""Accuracy of every layer and of all of them together, from one extraction."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np

from graftwork.core.choose import Verdict
from graftwork.core.facts import Aspect, BackboneCard, Intensity, Relu
from graftwork.core.metrics import Metric
from graftwork.core.plans import Loss, Normalise
from graftwork.core.rules import Finding, result_findings
from graftwork.core.trials import Trial
from graftwork.listener import Listener, Stages
from graftwork.steps.backbones import ExtractionOptions, open_backbone
from graftwork.steps.ledger import count_look
from graftwork.steps.prepare import prepare
from graftwork.steps.search import linear_rules, search


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """What each layer reads, on images that it was not fitted on."""

    card: BackboneCard
    verdict: Verdict
    trials: tuple[Trial, ...]
    images: int
    on: Literal["develop", "all"]
    findings: tuple[Finding, ...]
    stage_seconds: dict[str, float]


def probe(
    data: str | Path,
    *,
    backbone: str = "auto",
    aspect: Aspect | None = None,
    input_px: int | None = None,
    intensity: Intensity = "dataset",
    pool: Literal["average", "max"] = "average",
    relu: Relu = "auto",
    views: int = 1,
    loss: Loss | Literal["auto"] = "softmax",
    metric: Metric = "accuracy",
    normalise: Normalise = "standard",
    class_weight: Literal["auto", "none", "balanced"] = "auto",
    folds: int = 5,
    seed: int = 0,
    test: str | Path | float = 0.2,
    split_from: str | Path | None = None,
    group_by: str | None = None,
    on: Literal["develop", "all"] = "develop",
    listener: Listener | None = None,
) -> Probe:
    """Read every layer of a network on the develop part of the split that ``train`` would make.

    Parameters
    ----------
    on
        ``all`` reads every image, those to test on too; that is a look at them, and a later ``train`` says so,
        however it divides them.

    Other parameters are those of ``train``.

    Raises
    ------
    GraftError
        As ``train``.
    """
    stages = Stages(listener or Listener())
    with stages.stage("images"):
        split_images = prepare(
            data,
            test=test,
            folds=folds,
            group_by=group_by,
            split_from=split_from,
            seed=seed,
            input_px=input_px,
            listener=stages.listener,
        )
        if on == "all":
            count_look(list(map(str, split_images.images.digests)), "probe --on all", stages.listener)
            split_images = split_images.all_develop(folds=folds, seed=seed)
    with stages.stage("backbone"):
        asked = ExtractionOptions(backbone, aspect, input_px, intensity, pool, relu, views)
        backbone = open_backbone(
            asked, split_images.develop, intensity_range=split_images.intensity_range, listener=stages.listener
        )
    rules = linear_rules(
        [backbone.extraction.card],
        split_images.images.classes,
        loss=loss,
        normalise=normalise,
        pool=pool,
        views=views,
        metric=metric,
        class_weight=class_weight,
        seed=seed,
    )
    with stages.stage("codes"):
        codes = backbone.codes(split_images.develop, stages.listener.progress)
    with stages.stage("candidates"):
        found = search(
            rules,
            lambda _: codes,
            split_images.y,
            split_images.split.folds,
            split_images.develop_groups,
            features=split_images.features,
            costs=np.ones(len(rules.candidates)).tolist(),
            listener=stages.listener,
        )
    return Probe(
        card=backbone.extraction.card,
        verdict=found.verdict,
        trials=found.trials,
        images=len(split_images.y),
        on=on,
        findings=(
            *split_images.findings,
            *backbone.findings,
            *result_findings(found.verdict, found.trials, images=len(split_images.images), how_tested="none"),
        ),
        stage_seconds=stages.seconds,
    )
