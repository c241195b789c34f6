"""Fine-tunings compete with the linear search's result, on the same folds; then one verdict over all of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import cattrs
import numpy as np

from graftwork.clock import Clock
from graftwork.core.advice import Advice, Strategy, strategy_of
from graftwork.core.choose import choose
from graftwork.core.facts import Tap, digest_of
from graftwork.core.findings import Finding
from graftwork.core.options import FineTuneOptions
from graftwork.core.plans import Candidate, Linear, recipe_of, training_of
from graftwork.core.recipes import CACHED_AUGMENTATIONS, fine_tuning_candidates, smaller_px
from graftwork.core.result_findings import diverged_finding, untried_finding
from graftwork.core.schedule import REFIT_FOLDS, Forecast, folds_to_judge, seconds_needed, worth_trying
from graftwork.core.trials import Task, Trial
from graftwork.files import read_cached, write_json
from graftwork.finetune.context import FineTuneContext
from graftwork.steps.advise import expected_accuracies, expected_points
from graftwork.steps.backbones import Backbone, Backbones
from graftwork.steps.prepare import SplitImages
from graftwork.steps.search import SearchResult, costs_of
from graftwork.tournament import Tournament, run_trials

T = TypeVar("T")

VIEWS = CACHED_AUGMENTATIONS
"""Maximum number of views that the linear candidate of several views averages; the pass over them gives the activations
that fine-tunings above a cut are trained on, too."""
WORK = "work"
"""Folder of a run for what a killed one goes on with; dropped when the run is complete."""
STEP_MARGIN = 1.2
"""Seconds of an epoch, as a multiple of its steps: the validation loss, and variation of the machine's speed."""
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
    cuts = sum(candidate.plan.kind == "partial" for candidate in candidates)
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
        if freeze_to is not None and _together(candidate):
            tap = activations_tap(card, cut_of(card, freeze_to))
            taps[candidate.backbone] = (*taps.get(candidate.backbone, ()), tap)
    return taps


def _together(candidate: Candidate) -> bool:
    """Whether the activations of a fine-tuning are cached in the pass over all of the augmented views."""
    return recipe_of(candidate).cached_augmentations == CACHED_AUGMENTATIONS


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
    views = _once(context.folder / "views.json", int, lambda: _views_within_time(result, task, backbones, clock))
    several = _several_views(views, result, task, backbones)
    trials = [*result.trials, *several]
    views_done = {
        c.backbone: c.views for c in (trial.candidate for trial in several) if backbones.of(c).extraction.activations
    }
    reserve_extraction(clock, backbones, (views - 1) * to_extract)
    linear = dataclasses.replace(result, trials=tuple(trials))
    points = expected_points(context.candidates, advice, linear, task, backbones)
    entered = _once(
        context.folder / "decided.json",
        _Entered,
        lambda: _within_time(context.candidates, points, views_done, task, backbones, context, clock),
    )
    tournament = Tournament(
        backbones.codes,
        task,
        start=functools.cache(lambda candidate: _start(candidate, result, task, backbones)),
        context=context,
        clock=clock,
        fold_seconds=entered.fold_seconds,
        views=views,
        refit=entered.refit,
    )
    tuned = tournament.run(
        entered.now, at_the_end=entered.at_the_end, exhaustive=options.exhaustive, repeats=options.repeats
    )
    judged = _judged(linear, tuned, advice, task, backbones)
    if judged.chosen.candidate.plan.kind == "linear" and clock.runs_out and context.n_refits == 1:
        tuned = tournament.without_refit()
        judged = _judged(linear, tuned, advice, task, backbones)
    folds = max((len(np.unique(task.folds[trial.run])) for trial in tuned if trial.ended == "completed"), default=0)
    if 0 < folds < task.n_folds:
        context.listener.say(f"the time limit left {folds} of {task.n_folds} folds to fine-tunings")
    return dataclasses.replace(judged, findings=_findings(context.candidates, tuned, tournament.diverged))


def reserve_extraction(clock: Clock, backbones: Backbones, images: int) -> None:
    """Put aside the seconds in which the final model will extract the codes of this number of images."""
    if clock.runs_out:
        clock.reserve_seconds += max(backbones.forecast_seconds(name, images) for name in backbones.by_name)


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
    tried = {_without_length(candidate) for candidate in (*(trial.candidate for trial in tuned), *diverged)}
    untried = [candidate for candidate in planned if _without_length(candidate) not in tried]
    return (
        *((untried_finding(untried),) if untried else ()),
        *((diverged_finding(diverged),) if diverged else ()),
    )


@dataclasses.dataclass(frozen=True)
class _Entered:
    """Which fine-tunings are tried, and when."""

    now: tuple[Candidate, ...]
    at_the_end: tuple[Candidate, ...] = ()
    """If the others leave time."""
    fold_seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    """What a fold of each is forecast to take, by its key."""
    refit: bool = True
    """Whether there is time to fit the chosen one again on all images."""


def _within_time(
    candidates: Sequence[Candidate],
    points: Mapping[str, float],
    views_done: Mapping[str, int],
    task: Task,
    backbones: Backbones,
    context: FineTuneContext,
    clock: Clock,
) -> _Entered:
    """Return the fine-tunings that the time allows, by expected gain per second, and those to try if some is left.

    Parameters
    ----------
    views_done
        Of how many augmented views the activations are cached, by network.
    """
    if not clock.runs_out:
        return _Entered(tuple(candidates))
    forecasts, n = _forecasts(candidates, task, backbones, clock, views_done), len(task.y)
    timed = [candidate for candidate in candidates if candidate.key in forecasts]
    refit, folds = context.n_refits * REFIT_FOLDS, folds_to_judge(n, task.n_folds)
    entering = worth_trying(timed, forecasts, points, clock.left(), refit=refit, folds=folds)
    entered = entering.candidates
    minutes = {c.label: seconds_needed(c, forecasts[c.key], refit=refit, folds=folds) / 60 for c in timed}
    shortened = {_without_length(candidate) for candidate in entered}
    later = tuple(candidate for candidate in candidates if _without_length(candidate) not in shortened)
    if later or not entered:
        each = (
            ", ".join(f"{c.label} ({minutes[c.label]:.1f} minutes here)" for c in later if c.label in minutes)
            or "any fine-tuning"
        )
        context.listener.say(
            f"the time limit leaves {max(clock.left(), 0) / 60:.1f} minutes, too few for {each}: not tried; a longer "
            "--time-limit tries more"
        )
    if entered:
        context.listener.say(
            f"the time limit allows the first fold of {', '.join(c.label for c in entered)}; "
            f"{clock.left() / 60:.1f} minutes are left for them"
        )
    fold_seconds = {c.key: forecasts[c.key].fold(recipe_of(c)) for c in timed}
    for candidate in entered:  # perhaps with fewer epochs than were planned
        whole = next(c for c in timed if _without_length(c) == _without_length(candidate))
        fold_seconds[candidate.key] = forecasts[whole.key].fold(recipe_of(candidate))
    return _Entered(entered, later, fold_seconds, entering.refit)


def _forecasts(
    candidates: Sequence[Candidate],
    task: Task,
    backbones: Backbones,
    clock: Clock,
    views_done: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Forecast]:
    """Forecast fine-tunings on this machine, by their keys; those are left out that no time is left to measure."""
    from graftwork.finetune.forecast import seconds_per_image_of

    n = len(task.y)
    images_per_fold = n * (1 - 1 / task.n_folds)
    trainings = [(backbones.of(candidate).card, recipe_of(candidate)) for candidate in candidates]
    # a slow machine has no time for the steps that show how slow it is
    seconds = seconds_per_image_of(trainings, task.n_classes, lambda: clock.left() > 0)
    return {
        candidate.key: Forecast(
            view_seconds=backbones.forecast_seconds(candidate.backbone, n, candidate.smaller_px),
            epoch_seconds=STEP_MARGIN * images_per_fold * step_seconds,
            views_done=views_done.get(candidate.backbone, 0) if _together(candidate) else 0,
        )
        for candidate, step_seconds in zip(candidates, seconds, strict=True)
        if step_seconds is not None
    }


def seconds_by_strategy(
    name: str, candidates: Sequence[Candidate], task: Task, backbones: Backbones, clock: Clock
) -> dict[Strategy, float]:
    """Return what it takes on this machine to judge and to fit each strategy on one of the networks.

    Of several candidates of a strategy, the fastest counts.
    """
    candidates = [candidate for candidate in candidates if candidate.backbone == name]
    forecasts, folds = _forecasts(candidates, task, backbones, clock), folds_to_judge(len(task.y), task.n_folds)
    seconds: dict[Strategy, float] = {
        "several views": (VIEWS - 1) * backbones.forecast_seconds(name, len(task.y)),
    }
    for candidate in candidates:
        if candidate.key in forecasts:
            needed = seconds_needed(candidate, forecasts[candidate.key], refit=REFIT_FOLDS, folds=folds)
            strategy = strategy_of(candidate, backbones.of(candidate).card)
            seconds[strategy] = min(needed, seconds.get(strategy, needed))
    return seconds


def say_that_linear_candidates_alone_are_nested(
    task: Task, backbones: Backbones, context: FineTuneContext, clock: Clock
) -> None:
    """Say that nested cross-validation leaves fine-tunings out, and what the cheapest of them would cost."""
    forecasts, folds = _forecasts(context.candidates, task, backbones, clock), folds_to_judge(len(task.y), task.n_folds)
    each = [
        seconds_needed(candidate, forecasts[candidate.key], refit=REFIT_FOLDS, folds=folds)
        for candidate in context.candidates
        if candidate.key in forecasts
    ]
    # once in every fold, and once for the model
    cost = (
        f"; with the cheapest of them it would take {(task.n_folds + 1) * min(each) / 60:.0f} minutes here"
        if each
        else ""
    )
    backbones.listener.say(
        f"nested cross-validation tests linear candidates only, and fine-tunes nothing{cost}; use another --test to "
        "fine-tune"
    )


def _once(path: Path, kind: Any, decide: Callable[[], T]) -> T:
    """Return what depends on the time left, decided once: a run that was killed goes on with what it had decided."""
    decided: T | None = read_cached(path, kind)
    if decided is None:
        decided = decide()
        write_json(path, cattrs.unstructure(decided))
    return decided


def _without_length(candidate: Candidate) -> Candidate:
    """Return the candidate at alpha 1 without its number of epochs, which the time limit may have lowered."""
    training = training_of(candidate)
    return dataclasses.replace(
        training, plan=dataclasses.replace(recipe_of(training), epochs=0, cached_augmentations=0)
    )


def _start(candidate: Candidate, result: SearchResult, task: Task, backbones: Backbones) -> float:
    """Return C of the softmax on the standardised last layer, with which a fine-tuning begins."""
    last = dataclasses.replace(
        candidate, plan=Linear("softmax", "standard"), pool=result.chosen.candidate.pool, views=1
    )
    tried = (trial for trial in result.trials if trial.candidate == last)
    trial = next(tried, None) or next(run_trials([last], lambda _: backbones.codes(candidate), task))
    return trial.details["C"]


def _views_within_time(result: SearchResult, task: Task, backbones: Backbones, clock: Clock) -> int:
    """Return the number of views that half of the time left allows to extract; 1 where it does not allow two."""
    if not clock.runs_out:
        return VIEWS
    chosen = result.chosen.candidate
    view_seconds = backbones.forecast_seconds(chosen.backbone, len(task.y) * chosen.views)
    return next((views for views in range(VIEWS, 1, -1) if views * view_seconds <= clock.left() / 2), 1)


def _several_views(views: int, result: SearchResult, task: Task, backbones: Backbones) -> list[Trial]:
    """Try the chosen linear candidate on codes averaged over several views."""
    if views == 1:
        backbones.listener.say("codes of several views do not fit into the time limit; not tried")
        return []
    chosen = result.chosen.candidate
    return list(run_trials([dataclasses.replace(chosen, views=views * chosen.views)], backbones.codes, task))
