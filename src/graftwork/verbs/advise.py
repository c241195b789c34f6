"""When and how to transfer: the rule of thumb and the evidence for and against it, before anything is fine-tuned."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from graftwork.clock import Clock
from graftwork.core.advice import Advice
from graftwork.core.choose import Row, Verdict, best_of_each_network
from graftwork.core.facts import Aspect, BackboneCard, Intensity, Metric, Pool, Relu
from graftwork.core.figures import counted
from graftwork.core.findings import Finding, findings_in_short
from graftwork.core.options import (
    AUTO,
    DataOptions,
    ExtractionOptions,
    FineTuneOptions,
    JudgingOptions,
    SplitOptions,
    as_text,
    names_of,
    settings_of,
)
from graftwork.core.plans import Loss, Normalise
from graftwork.core.result_findings import advice_findings, result_findings
from graftwork.core.shown import Fact, Shown
from graftwork.listener import Listener
from graftwork.progress import Stages
from graftwork.steps.advise import advise as advice_of
from graftwork.steps.advise import known_to_gauge
from graftwork.steps.backbones import open_backbones
from graftwork.steps.compete import candidates_to_tune
from graftwork.steps.output import command
from graftwork.steps.prepare import prepare
from graftwork.steps.search import candidates_for, costs_of, search
from graftwork.steps.time_limit import seconds_by_strategy

MARGIN = 1.5
"""Time limit that is proposed, as a multiple of what the recommended strategy takes: others are tried, too."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that was compared, by its best linear classifier."""

    card: BackboneCard
    row: Row
    """Of its best layer."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Advised(Shown):
    """What the rule of thumb says for some images, what was measured, and what it costs to be sure."""

    card: BackboneCard
    """Of the network that the advice is about: that of the chosen linear classifier."""
    networks: tuple[Network, ...]
    """Every network that was compared, the best first."""
    advice: Advice
    verdict: Verdict
    """Of the linear classifiers on every layer."""
    findings: tuple[Finding, ...]
    command: str
    """What to type next."""
    stage_seconds: dict[str, float]

    @property
    def lines(self) -> tuple[str, str, str]:
        """What the rule says, what the measurements say, and what it costs to be sure."""
        best = self.advice.recommended
        cost = f"about {_minutes(best.seconds)} here" if best.seconds else "nothing more than what is computed already"
        return self.advice.rule_says, self.advice.measured_says, f"{cost}: {self.command}"

    def _facts(self) -> tuple[Fact, ...]:
        rule, measured, cost = self.lines
        first = [Fact("rule says", rule), Fact("measured says", measured)]
        return (
            Fact("", f"{self.card.name}, {counted(self.advice.size.images, 'image')}"),
            *(first if self.advice.agree else [Fact("they disagree", ""), *reversed(first)]),
            Fact("to be sure", cost),
            Fact("findings", findings_in_short(self.findings)),
        )


def advise(
    data: str | Path,
    *,
    backbone: str | Path | Sequence[str | Path] = ("auto",),
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
    listener: Listener | None = None,
) -> Advised:
    """Say when and how to transfer to some images, on the develop part of the split that ``train`` would make.

    Size and similarity are measured, and every layer is tried by a linear classifier; nothing is fine-tuned. The rule
    of thumb is that of the CS231n note on transfer learning; the forecast of what each strategy gains is fitted to
    reference sets (``benchmarks/advice.py``).

    Several networks are ranked by their best linear classifier in cross-validation; the advice is about the chosen
    one: the cheapest that is not significantly worse than the best.

    Parameters are those of ``train``.

    Raises
    ------
    GraftError
        As ``train``.

    Examples
    --------
    >>> advised = advise("photos", backbone="efficientnet_lite0", input_px=32)
    >>> advised.advice.situation.size
    'small'
    """
    data_options = DataOptions(
        image_column=image_column, label_column=label_column, label_level=label_level, group_by=group_by
    )
    split = SplitOptions(test=as_text(test), folds=folds, seed=seed, split_from=as_text(split_from))
    extraction = ExtractionOptions(
        backbone=names_of(backbone), aspect=aspect, input_px=input_px, intensity=intensity,
        pool=pool, relu=relu, views=views,
    )  # fmt: skip
    judging = JudgingOptions(loss=loss, normalise=normalise, metric=metric, class_weight=class_weight)
    stages = Stages(listener)
    with stages.stage("images"):
        images = prepare(data, split, data_options, input_px=input_px, listener=stages.listener)
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
    with stages.stage("seconds"), tempfile.TemporaryDirectory() as folder:
        tuned = candidates_to_tune(FineTuneOptions(), backbones, len(task.y), any_input=input_px is None)
        chosen = result.chosen.candidate.backbone
        seconds = seconds_by_strategy(chosen, tuned, task, backbones, Clock(math.inf, Path(folder) / "clock.json"))
    with stages.stage("similarity"):
        advice = advice_of(
            result, task, backbones, images.develop, images.intensity_range, candidates=tuned, seconds=seconds
        )
    best = best_of_each_network(result.verdict, result.trials)
    given = dict(zip(backbones.by_name, names_of(backbone), strict=True))[chosen]
    settings = settings_of(data, data_options, split, extraction, judging, backbone=(given,), loss=AUTO)
    return Advised(
        card=backbones.by_name[chosen].card,
        networks=tuple(
            Network(backbones.by_name[result.trials[j].candidate.backbone].card, result.verdict.rows[j]) for j in best
        ),
        advice=advice,
        verdict=result.verdict,
        findings=(
            *advice_findings(advice, known_to_gauge(images.develop, backbones.by_name[chosen].card)),
            *images.findings,
            *backbones.findings,
            *result_findings(result.verdict, result.trials, task, images=len(images.images), how_tested="none"),
        ),
        command=_command(settings, advice),
        stage_seconds=stages.seconds,
    )


def _command(settings: dict[str, Any], advice: Advice) -> str:
    """Return the training that settles what the advice forecasts."""
    seconds = advice.recommended.seconds
    if not seconds:
        return command("train", settings | {"strategy": "linear"})
    return command("train", settings | {"time_limit": f"{max(1, math.ceil(MARGIN * seconds / 60))}m"})


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"
