"""Fine-tunings beside what the linear search found, on the same folds; then one verdict over all of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import cattrs
from graftwork.core.rules import diverged_finding, left_out_finding

from graftwork.clock import Clock
from graftwork.core.choose import choose
from graftwork.core.facts import BackboneCard, digest_of
from graftwork.core.plans import Candidate, Linear, cost_to_use, recipe_of, training_of
from graftwork.core.recipes import Expected, fine_tuning_candidates, folds_to_judge, worth_trying
from graftwork.core.trials import Task, Trial
from graftwork.files import write_json
from graftwork.fit import FineTuneContext, within_disk
from graftwork.listener import Listener
from graftwork.steps.backbones import Backbones
from graftwork.steps.prepare import SplitImages
from graftwork.steps.search import Rules, SearchResult
from graftwork.tournament import REFIT, Tournament, run_trials

T = TypeVar("T")

VIEWS = 8
"""Views, at the most, whose codes are averaged by the linear candidate of several views."""
WORK = "work"
"""Folder of a run for what a killed one goes on with; dropped when the run is whole."""
MARGIN = 1.2
"""Seconds of an epoch of a fold in those of its steps: reading the images left out, and the machine's moods."""
ACTIVATIONS_SHARE = 0.5
"""Share of the store's budget that the activations of all cuts may take."""


@dataclasses.dataclass(frozen=True)
class FineTuneOptions:
    """What a user can decide about fine-tuning; None leaves it to the recipe."""

    freeze_to: str | None = None
    scratch: bool | None = None
    exhaustive: bool = False
    repeats: int = 1
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    layer_decay: float | None = None
    patience: int | None = None
    augment: str | None = None
    n_refits: int = 1
    """How often the chosen one is fitted in the end: on the develop part, and perhaps on every image."""
    extra_images: int = 0
    """Images that are read in the end beside those of the data: of the place where the model will be used."""

    def candidates(self, cards: Sequence[BackboneCard], images: int) -> tuple[Candidate, ...]:
        """Return the fine-tunings to try, every choice of the user in place of the recipe's."""
        chosen = {
            name: value
            for name in ("epochs", "lr", "layer_decay", "patience", "augment")
            if (value := getattr(self, name)) is not None
        }
        found = [
            candidate
            for card in cards
            for candidate in fine_tuning_candidates(
                card,
                images,
                freeze_to=self.freeze_to,
                scratch=self.scratch,
                batch_size=self.batch_size,
            )
        ]
        plans = [dataclasses.replace(recipe_of(candidate), **chosen) for candidate in found]
        if self.augment == "none":  # then an image looks the same in every epoch
            plans = [
                dataclasses.replace(plan, cached_augmentations=min(plan.cached_augmentations, 1)) for plan in plans
            ]
        return tuple(dataclasses.replace(c, plan=plan) for c, plan in zip(found, plans, strict=True))


def fine_tune_context(
    split_images: SplitImages,
    backbones: Backbones,
    wanted: FineTuneOptions,
    folder: Path,
    *,
    balanced: bool,
    seed: int,
    listener: Listener,
) -> FineTuneContext:
    """Return what fine-tunings of the develop images need; what cannot be is said now, not after the search.

    Raises
    ------
    BackboneError, UsageError
        As ``core.recipes.fine_tuning_candidates``.
    """
    candidates = wanted.candidates(backbones.cards, len(split_images.y))
    cuts = sum(recipe_of(candidate).freeze_to is not None for candidate in candidates)
    # everything that a fold depends on but for the candidate, its C and what is drawn
    cards = [
        [dataclasses.asdict(backbone.extraction.card), backbone.extraction.engine]
        for backbone in backbones.backbone.values()
    ]
    digests = [str(digest) for digest in split_images.develop.digests]
    given = [
        metadata.version("graftwork"),
        split_images.split.digest,
        digests,
        split_images.y.tolist(),
        cards,
        balanced,
    ]
    return FineTuneContext(
        images=split_images.develop,
        read=backbones.read,
        folder=folder / WORK / digest_of(given),
        store_mb=ACTIVATIONS_SHARE * backbones.budget_mb / max(cuts, 1),
        seed=seed,
        say=listener.say,
    )


def compete(
    rules: Rules,
    found: SearchResult,
    backbones: Backbones,
    split_images: SplitImages,
    wanted: FineTuneOptions,
    tuning: FineTuneContext,
    clock: Clock,
    listener: Listener,
) -> SearchResult:
    """Set fine-tunings and codes of several views beside the linear trials, and choose among all.

    The linear trials are taken as they are. Where the clock allows some folds only, the candidates are compared on
    their images, and of the linear ones only the chosen stands against them.
    """
    if clock.runs_out:  # the model reads all images once, and finalists those of a shifted place
        last = len(split_images.images) + wanted.extra_images
        clock.reserve_seconds += max(backbones.forecast_seconds(name, last) for name in backbones.backbone)
    views = _once(tuning.folder / "views.json", int, lambda: _views_within_time(found, backbones, split_images, clock))
    trials = [*found.trials, *_several_views(views, rules, found, backbones, split_images, listener)]
    task = rules.task(split_images.y, split_images.split.folds)
    tournament = Tournament(
        backbones.codes,
        task,
        start={card.name: _start(found, card, backbones, task) for card in backbones.cards},
        n_refits=wanted.n_refits,
        tuning=tuning,
        clock=clock,
        on_change=listener.candidates,
    )

    asked = [
        dataclasses.replace(c, plan=within_disk(recipe_of(c), backbones.of(c).extraction, tuning))
        for c in wanted.candidates(backbones.cards, len(split_images.y))
    ]
    candidates = _once(
        tuning.folder / "decided.json",
        tuple[Candidate, ...],
        lambda: _within_time(asked, wanted, backbones, task, split_images, clock, listener),
    )
    tuned = tournament.run(candidates, exhaustive=wanted.exhaustive, repeats=wanted.repeats)
    if not candidates:
        listener.say("no fine-tuning fits into the time limit; the linear model stands")
    known = {_without_length(candidate) for candidate in (*(trial.candidate for trial in tuned), *tournament.diverged)}
    unrun = [candidate for candidate in asked if _without_length(candidate) not in known]
    if any(trial.ended == "completed" and not trial.run.all() for trial in tuned):
        trials = [
            dataclasses.replace(trial, ended="represented")
            if number < len(found.trials) and number != found.verdict.chosen
            else trial
            for number, trial in enumerate(trials)
        ]
    trials = [*trials, *tuned]
    verdict = choose(
        trials,
        [cost_to_use(trial.candidate, backbones.cards) for trial in trials],
        split_images.y,
        split_images.develop_groups,
        rules.metric,
        seed=rules.seed,
        n_folds=task.n_folds,
        tolerance=rules.tolerance,
        baselines=[(row.name, row.probabilities) for row in found.baselines],
    )
    told = ((left_out_finding, unrun), (diverged_finding, tournament.diverged))
    findings = tuple(finding(concerned) for finding, concerned in told if concerned)
    return SearchResult(tuple(trials), found.baselines, verdict, findings)


def _within_time(
    candidates: Sequence[Candidate],
    wanted: FineTuneOptions,
    backbones: Backbones,
    task: Task,
    split_images: SplitImages,
    clock: Clock,
    listener: Listener,
) -> tuple[Candidate, ...]:
    """Return the fine-tunings that the time allows, by what they are expected to gain a second."""
    if not clock.runs_out:
        return tuple(candidates)
    from graftwork.finetune.forecast import forecast

    expected = {}
    n = len(split_images.y)
    in_a_fold = n * (1 - 1 / task.n_folds)
    for candidate in candidates:
        if clock.left() <= 0:  # a slow machine has no time for the steps that tell how slow it is
            break
        backbone, plan = backbones.of(candidate), recipe_of(candidate)
        step_seconds = forecast(backbone.extraction.card, plan, task.n_classes)
        expected[candidate.key] = Expected(
            view=backbones.forecast_seconds(candidate.backbone, n), epoch=MARGIN * in_a_fold * step_seconds
        )
    folds = folds_to_judge(n, task.n_folds)
    timed = [candidate for candidate in candidates if candidate.key in expected]
    entered = worth_trying(timed, expected, clock.left(), refit=wanted.n_refits * REFIT, folds=folds)
    if entered:
        listener.say(
            f"fine-tunings that the time allows, first of all: {', '.join(c.label for c in entered)}; "
            f"{clock.left() / 60:.1f} minutes are left for them"
        )
    return entered


def _once(path: Path, kind: Any, decide: Callable[[], T]) -> T:
    """Return what the clock decides, once: a run that was killed goes on with what it had decided."""
    if path.is_file():
        decided: T = cattrs.structure(json.loads(path.read_text(encoding="utf-8")), kind)
        return decided
    decided = decide()
    write_json(path, cattrs.unstructure(decided))
    return decided


def _without_length(candidate: Candidate) -> Candidate:
    """The candidate, however long it runs and however far it goes: the clock may have shortened it."""
    training = training_of(candidate)
    return dataclasses.replace(
        training, plan=dataclasses.replace(recipe_of(training), epochs=0, cached_augmentations=0)
    )


def _start(found: SearchResult, card: BackboneCard, backbones: Backbones, task: Task) -> float:
    """C of the softmax on a network's standardised last layer, where its fine-tunings begin."""
    last = Candidate(card.name, (card.taps[-1].name,), Linear("softmax", "standard"), input_px=card.preprocess.input_px)
    last = dataclasses.replace(last, pool=found.chosen.candidate.pool)
    tried = (trial for trial in found.trials if trial.candidate == last)
    trial = next(tried, None) or next(run_trials([last], backbones.codes, task))
    return trial.details["C"]


def _views_within_time(found: SearchResult, backbones: Backbones, split_images: SplitImages, clock: Clock) -> int:
    """Return in how many views half of the time allows to read the images; 1 where it does not allow two."""
    if not clock.runs_out:
        return VIEWS
    chosen = found.chosen.candidate
    view_seconds = backbones.forecast_seconds(chosen.backbone, len(split_images.y) * chosen.views)
    return next((views for views in range(VIEWS, 1, -1) if views * view_seconds <= clock.left() / 2), 1)


def _several_views(
    views: int, rules: Rules, found: SearchResult, backbones: Backbones, split_images: SplitImages, listener: Listener
) -> list[Trial]:
    """The chosen linear candidate on codes averaged over so many views."""
    if views == 1:
        listener.say("codes of several views do not fit into the time limit; not tried")
        return []
    chosen = found.chosen.candidate
    candidate = dataclasses.replace(chosen, views=views * chosen.views)
    return list(run_trials([candidate], backbones.codes, rules.task(split_images.y, split_images.split.folds)))
