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
from graftwork.verbs.ledger import count_look
from graftwork.verbs.listener import Listener, Stages
from graftwork.verbs.prepare import prepare
from graftwork.verbs.reading import Asked, open_backbone
from graftwork.verbs.search import linear_rules, search


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
    like: str | Path | None = None,
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
        prepared = prepare(
            data,
            test=test,
            folds=folds,
            group_by=group_by,
            like=like,
            seed=seed,
            input_px=input_px,
            listener=stages.listener,
        )
        if on == "all":
            count_look(list(map(str, prepared.images.digests)), "probe --on all", stages.listener)
            prepared = prepared.all_develop(folds=folds, seed=seed)
    with stages.stage("backbone"):
        asked = Asked(backbone, aspect, input_px, intensity, pool, relu, views)
        opened = open_backbone(
            asked, prepared.develop, intensity_range=prepared.intensity_range, listener=stages.listener
        )
    rules = linear_rules(
        [opened.reading.card],
        prepared.images.classes,
        loss=loss,
        normalise=normalise,
        pool=pool,
        views=views,
        metric=metric,
        class_weight=class_weight,
        seed=seed,
    )
    with stages.stage("codes"):
        codes = opened.codes(prepared.develop, stages.listener.progress)
    with stages.stage("candidates"):
        found = search(
            rules,
            lambda _: codes,
            prepared.y,
            prepared.split.folds,
            prepared.develop_groups,
            features=prepared.features,
            costs=np.ones(len(rules.candidates)).tolist(),
            listener=stages.listener,
        )
    return Probe(
        card=opened.reading.card,
        verdict=found.verdict,
        trials=found.trials,
        images=len(prepared.y),
        on=on,
        findings=(
            *prepared.findings,
            *opened.findings,
            *result_findings(found.verdict, found.trials, images=len(prepared.images), how_tested="none"),
        ),
        stage_seconds=stages.seconds,
    )
