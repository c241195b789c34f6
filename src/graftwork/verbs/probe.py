"""Accuracy of every layer and of all of them together, from one extraction."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from graftwork.core.arguments import argument
from graftwork.core.choose import Verdict
from graftwork.core.facts import Aspect, BackboneCard, Intensity, Metric, Pool, Relu
from graftwork.core.figures import counted, with_interval
from graftwork.core.findings import Finding, findings_in_short
from graftwork.core.options import DataOptions, ExtractionOptions, JudgingOptions, Part, SplitOptions, as_text
from graftwork.core.plans import Loss, Normalise
from graftwork.core.result_findings import result_findings
from graftwork.core.shown import Fact, Shown
from graftwork.core.trials import Trial
from graftwork.listener import Listener
from graftwork.progress import Stages
from graftwork.steps.backbones import open_backbones
from graftwork.steps.ledger import count_look
from graftwork.steps.prepare import prepare
from graftwork.steps.search import candidates_for, costs_of, search


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Probe(Shown):
    """The score of a linear classifier on every layer, on images that it was not fitted on."""

    card: BackboneCard
    verdict: Verdict
    trials: tuple[Trial, ...]
    images: int
    on: Part
    findings: tuple[Finding, ...]
    stage_seconds: dict[str, float]

    def _facts(self) -> tuple[Fact, ...]:
        metric, rows = self.verdict.metric, self.verdict.rows
        return (
            Fact("", f"{self.card.name}, {counted(self.images, 'image')}"),
            *(
                Fact(
                    row.label,
                    with_interval(metric, row.score, row.low, row.high),
                    share=None if metric == "log-loss" else row.score,
                )
                for row in rows
            ),
            Fact("findings", findings_in_short(self.findings)),
        )


def probe(
    data: str | Path,
    *,
    backbone: str | Path = "auto",
    aspect: Aspect | None = None,
    input_px: int | None = None,
    intensity: Intensity = "dataset",
    pool: Pool = "average",
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
    image_column: str | None = None,
    label_column: str | None = None,
    label_level: int | None = None,
    group_by: str | None = None,
    on: Part = "develop",
    listener: Listener | None = None,
) -> Probe:
    """Fit a linear classifier on every layer of a network, on the develop part of the split that ``train`` would make.

    Parameters
    ----------
    on
        ``all`` uses every image, those of the test part too; that is a look at them, and a later ``train`` says so,
        however it divides them.

    Other parameters are those of ``train``.

    Raises
    ------
    GraftError
        As ``train``.

    Examples
    --------
    >>> result = probe("photos", backbone="efficientnet_lite0", loss="softmax", input_px=32)
    >>> [row.label for row in result.verdict.rows][:2]
    ['blocks.0, softmax', 'blocks.1, softmax']
    """
    data_options = DataOptions(
        image_column=image_column, label_column=label_column, label_level=label_level, group_by=group_by
    )
    split = SplitOptions(test=as_text(test), folds=folds, seed=seed, split_from=as_text(split_from))
    extraction = ExtractionOptions(
        backbone=(as_text(backbone),), aspect=aspect, input_px=input_px, intensity=intensity,
        pool=pool, relu=relu, views=views,
    )  # fmt: skip
    judging = JudgingOptions(loss=loss, normalise=normalise, metric=metric, class_weight=class_weight)
    on = argument("on", on, Part)
    stages = Stages(listener)
    with stages.stage("images"):
        images = prepare(data, split, data_options, input_px=input_px, listener=stages.listener)
        if on == "all":
            count_look(list(map(str, images.images.digests)), "probe --on all", stages.listener)
            images = images.all_develop(split)
        task = images.task(judging)
    with stages.stage("backbone"):
        backbones = open_backbones(extraction, images.develop, images.intensity_range, stages.listener)
        candidates = candidates_for(backbones.cards, extraction, judging)
    with stages.stage("codes"):
        backbones.extract_for(candidates)
    with stages.stage("candidates"):
        costs = costs_of(candidates, backbones.cards)
        result = search(
            candidates, backbones.codes, task, costs=costs, features=images.features, listener=stages.listener
        )
    return Probe(
        card=backbones.cards[0],
        verdict=result.verdict,
        trials=result.trials,
        images=len(task.y),
        on=on,
        findings=(
            *images.findings,
            *backbones.findings,
            *result_findings(result.verdict, result.trials, task, images=len(images.images), how_tested="none"),
        ),
        stage_seconds=stages.seconds,
    )
