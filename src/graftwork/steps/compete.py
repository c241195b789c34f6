"""Fine-tunings compete with the linear search's result, on the same folds; then one verdict over all of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import cattrs
import numpy as np

from graftwork.clock import Clock
from graftwork.core.advice import Advice
from graftwork.core.choose import choose
from graftwork.core.facts import Tap, digest_of
from graftwork.core.findings import Finding
from graftwork.core.options import FineTuneOptions
from graftwork.core.plans import Candidate, recipe_of
from graftwork.core.recipes import fine_tuning_candidates, smaller_px
from graftwork.core.result_findings import diverged_finding, untried_finding
from graftwork.core.trials import Task, Trial
from graftwork.files import read_cached, write_json
from graftwork.finetune.context import FineTuneContext
from graftwork.linear_trials import run_trials
from graftwork.steps.advise import expected_accuracies, expected_points, last_layer_trial
from graftwork.steps.backbones import Backbone, Backbones
from graftwork.steps.prepare import SplitImages
from graftwork.steps.search import SearchResult, costs_of
from graftwork.steps.time_limit import (
    VIEWS,
    Decided,
    decided_within,
    reserve_extraction,
    views_within,
    with_views,
    without_length,
)
from graftwork.tournament import Tournament

T = TypeVar("T")

WORK = "work"
"""Folder of a run for what a killed one goes on with; dropped when the run is complete."""
ACTIVATIONS_SHARE = 0.5
"""Share of the store's budget that the activations of all cuts may take."""


def candidates_to_tune(
    options: FineTuneOptions, backbones: Backbones, images: int, *, any_input: bool
) -> tuple[Candidate, ...]:
    """Return the fine-tunings of every network on this number of images.

    Parameters
    ----------
    any_input
        Whether a smaller input is tried where a network takes it.

    Raises
    ------
    BackboneError, UsageError
        As ``core.recipes.fine_tuning_candidates``.
    """
    return tuple(
        candidate
        for backbone in backbones.by_name.values()
        for candidate in fine_tuning_candidates(
            backbone.card, images, options, smaller=_smaller_input(backbone) if any_input else None
        )
    )


def _smaller_input(backbone: Backbone) -> int | None:
    """Return a smaller input that a network takes; None where there is none."""
    from graftwork.finetune.pretrained import takes_its_input

    smaller = smaller_px(backbone.card.preprocess.input_px)
    return smaller if smaller is not None and takes_its_input(backbone.with_input(smaller).card) else None


def fine_tune_context(
    split_images: SplitImages,
    task: Task,
    backbones: Backbones,
    options: FineTuneOptions,
    folder: Path,
    *,
    any_input: bool,
    n_refits: int,
) -> FineTuneContext:
    """Return what fine-tunings of the develop images need; options that cannot be met fail now, not after the search.

    Parameters
    ----------
    any_input
        As ``candidates_to_tune``.
    n_refits
        How often the chosen candidate is fitted at the end.

    Raises
    ------
    BackboneError, UsageError
        As ``candidates_to_tune``; as ``finetune.engine.training_engine``.
    """
    tune, n = options.strategy == "auto", len(task.y)
    candidates = candidates_to_tune(options, backbones, n, any_input=any_input and tune)
    cuts = sum(recipe_of(candidate).cached_augmentations > 0 for candidate in candidates)
    store_mb = ACTIVATIONS_SHARE * backbones.budget_mb / max(cuts, 1)
    if tune:
        from graftwork.finetune.fold import within_disk

        plans = [within_disk(recipe_of(c), backbones.of(c).card, n, store_mb, backbones.listener) for c in candidates]
        candidates = tuple(dataclasses.replace(c, plan=p) for c, p in zip(candidates, plans, strict=True))
    # everything that a fold depends on apart from the candidate, its C and its random draws
    cards = [[dataclasses.asdict(b.card), b.extraction.engine] for b in backbones.by_name.values()]
    engines = _training_engines(candidates, backbones) if tune else []
    digests = [str(digest) for digest in split_images.develop.digests]
    depends_on = [
        metadata.version("graftwork"), split_images.split.digest, digests, task.y.tolist(), task.balanced, cards,
        engines,
    ]  # fmt: skip
    return FineTuneContext(
        candidates=candidates,
        images=split_images.develop,
        extract=backbones.extract,
        folder=folder / WORK / digest_of(depends_on),
        store_mb=store_mb,
        seed=task.seed,
        n_refits=n_refits,
        listener=backbones.listener,
        activations=_activations(candidates, backbones) if tune else {},
    )


def _activations(candidates: Sequence[Candidate], backbones: Backbones) -> dict[str, tuple[Tap, ...]]:
    """Return the activations that fine-tunings of each network read in all of the augmented views."""
    from graftwork.finetune.cut import activations_tap, cut_of

    taps: dict[str, tuple[Tap, ...]] = {}
    for candidate in candidates:
        freeze_to, card = recipe_of(candidate).freeze_to, backbones.of(candidate).card
        if freeze_to is not None and recipe_of(candidate).cached_augmentations == VIEWS:
            tap = activations_tap(card, cut_of(card, freeze_to))
            taps[candidate.backbone] = (*taps.get(candidate.backbone, ()), tap)
    return taps


def _training_engines(candidates: Sequence[Candidate], backbones: Backbones) -> list[dict[str, Any]]:
    from graftwork.finetune.engine import training_engine

    cards = {backbones.of(candidate).named_input: backbones.of(candidate).card for candidate in candidates}
    return [dataclasses.asdict(training_engine(card)) for card in cards.values()]


def compete(
    result: SearchResult,
    task: Task,
    backbones: Backbones,
    options: FineTuneOptions,
    context: FineTuneContext,
    clock: Clock,
    *,
    advice: Advice,
    to_extract: int,
) -> SearchResult:
    """Try fine-tunings and codes of several views in addition to the linear trials, and choose among all.

    The linear trials are taken as they are. Where the time limit allows some folds only, the candidates are compared on
    the images of these folds, and of the linear trials only the chosen one competes.

    Parameters
    ----------
    advice
        Which of them are expected to gain most on these images.
    to_extract
        Number of images that the final model will predict: in several views, if it averages them.
    """
    chosen, n = result.chosen.candidate, len(task.y)
    views = _once(context.folder / "views.json", int, lambda: views_within(chosen, n, to_extract, backbones, clock))
    several = _several_views(views, chosen, task, backbones)
    reserve_extraction(clock, backbones, (views - 1) * to_extract)
    linear = dataclasses.replace(result, trials=(*result.trials, *several))
    candidates = with_views(context.candidates, views)
    points = expected_points(candidates, advice, linear, task, backbones)
    views_done = _views_done(candidates, several, backbones)
    decided = _once(
        context.folder / "decided.json",
        Decided,
        lambda: decided_within(candidates, points, views_done, task, backbones, context, clock),
    )
    start = functools.cache(lambda name: last_layer_trial(result, task, backbones, name).details["C"])
    tournament = Tournament(
        backbones.codes,
        task,
        start=lambda candidate: start(candidate.backbone),
        context=context,
        clock=clock,
        once_seconds=decided.once_seconds,
        fold_seconds=decided.fold_seconds,
        views=views,
        refit=decided.refit,
        exhaustive=options.exhaustive,
    )
    tuned = tournament.run(decided.now, at_the_end=decided.at_the_end, repeats=options.repeats)
    judged = _judged(linear, tuned, advice, task, backbones)
    if judged.chosen.candidate.plan.kind == "linear" and clock.runs_out and context.n_refits == 1:
        tuned = tournament.without_refit()
        judged = _judged(linear, tuned, advice, task, backbones)
    if not tuned and views < VIEWS:  # what fine-tunings had no use for serves more views
        before = views
        views = _once(
            context.folder / "more-views.json",
            int,
            lambda: views_within(chosen, n, to_extract, backbones, clock, share=1, done=before),
        )
        if views > before:
            several = _several_views(views, chosen, task, backbones)
            linear = dataclasses.replace(result, trials=(*result.trials, *several))
            judged = _judged(linear, tuned, advice, task, backbones)
    if views == 1:
        context.listener.say("codes of several views do not fit into the time limit; not tried")
    folds = max((len(np.unique(task.folds[trial.run])) for trial in tuned if trial.ended == "completed"), default=0)
    if 0 < folds < task.n_folds:
        context.listener.say(f"the time limit left {folds} of {task.n_folds} folds to fine-tunings")
    return dataclasses.replace(judged, findings=_findings(candidates, tuned, tournament.diverged))


def _judged(
    linear: SearchResult, tuned: Sequence[Trial], advice: Advice, task: Task, backbones: Backbones
) -> SearchResult:
    """Choose among linear trials and fine-tunings.

    Parameters
    ----------
    linear
        Its verdict chose among the trials of one number of views.
    """
    trials, every = linear.trials, dataclasses.replace(linear, trials=(*linear.trials, *tuned))
    expected = expected_accuracies(advice, every, task, backbones) if task.metric == "accuracy" else None
    if any(trial.ended == "completed" and not trial.run.all() for trial in tuned):
        trials = _represented(linear)
    trials = (*trials, *tuned)
    costs = costs_of([trial.candidate for trial in trials], backbones.cards)
    return dataclasses.replace(
        linear, trials=trials, verdict=choose(trials, costs, task, linear.baselines, expected=expected)
    )


def _represented(linear: SearchResult) -> tuple[Trial, ...]:
    """Let the chosen linear trial alone compete, and that of several views, where fine-tunings had not all folds."""
    return tuple(
        dataclasses.replace(trial, ended="represented")
        if j != linear.verdict.chosen and trial.candidate.views == linear.chosen.candidate.views
        else trial
        for j, trial in enumerate(linear.trials)
    )


def _findings(
    planned: Sequence[Candidate], tuned: Sequence[Trial], diverged: Sequence[Candidate]
) -> tuple[Finding, ...]:
    tried = {without_length(candidate) for candidate in (*(trial.candidate for trial in tuned), *diverged)}
    untried = [candidate for candidate in planned if without_length(candidate) not in tried]
    return (
        *((untried_finding(untried),) if untried else ()),
        *((diverged_finding(diverged),) if diverged else ()),
    )


def _once(path: Path, kind: Any, decide: Callable[[], T]) -> T:
    """Return what depends on the time left, decided once: a run that was killed goes on with what it had decided."""
    decided: T | None = read_cached(path, kind)
    if decided is None:
        decided = decide()
        write_json(path, cattrs.unstructure(decided))
    return decided


def _views_done(candidates: Sequence[Candidate], several: Sequence[Trial], backbones: Backbones) -> dict[str, int]:
    """Return in how many views the activations of fine-tunings have come with the codes, by their keys."""
    done: dict[tuple[str, str | None], int] = {
        (trial.candidate.backbone, tap.layer): trial.candidate.views
        for trial in several
        for tap in backbones.of(trial.candidate).extraction.activations
    }
    return {c.key: done.get((c.backbone, recipe_of(c).freeze_to), 0) for c in candidates}


def _several_views(views: int, chosen: Candidate, task: Task, backbones: Backbones) -> list[Trial]:
    """Try the chosen linear candidate on codes averaged over several views."""
    if views == 1:
        return []
    return list(run_trials([dataclasses.replace(chosen, views=views * chosen.views)], backbones.codes, task))
