"""What a time limit allows: seconds that are put aside, views of each image, and the fine-tunings that are tried."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from graftwork.clock import Clock
from graftwork.core.gains import Strategy, strategy_of
from graftwork.core.plans import Candidate, recipe_of, training_of
from graftwork.core.recipes import CACHED_AUGMENTATIONS
from graftwork.core.schedule import Entered, Forecast, folds_to_judge, refit_folds, seconds_needed, worth_trying
from graftwork.core.trials import Task
from graftwork.finetune.context import FineTuneContext
from graftwork.steps.backbones import Backbones

VIEWS = CACHED_AUGMENTATIONS
"""Maximum number of views that the linear candidate of several views averages; the pass over them gives the activations
that fine-tunings above a cut are trained on, too."""
STEP_MARGIN = 1.2
"""Seconds of an epoch, as a multiple of its steps: the validation loss, and variation of the machine's speed."""


def reserve_extraction(clock: Clock, backbones: Backbones, images: int) -> None:
    """Put aside the seconds in which the final model will extract the codes of this number of images."""
    if clock.runs_out:
        clock.reserve_seconds += max(
            backbones.forecast_seconds(name, images * backbone.extraction.views)
            for name, backbone in backbones.by_name.items()
        )


def forecasts_of(
    candidates: Sequence[Candidate],
    task: Task,
    backbones: Backbones,
    clock: Clock,
    views_done: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Forecast]:
    """Forecast fine-tunings on this machine, by their keys; those are left out that no time is left to measure.

    Parameters
    ----------
    views_done
        In how many augmented views the activations of a fine-tuning are cached, by its key.
    """
    from graftwork.finetune.forecast import seconds_per_image_of

    n = len(task.y)
    images_per_fold = n * (1 - 1 / task.n_folds)
    trainings = [(backbones.of(candidate).card, recipe_of(candidate)) for candidate in candidates]
    # a slow machine has no time for the steps that show how slow it is
    seconds = seconds_per_image_of(trainings, task.n_classes, lambda seconds: clock.left() > seconds)
    return {
        candidate.key: Forecast(
            view_seconds=backbones.forecast_seconds(candidate.backbone, n, candidate.smaller_px),
            epoch_seconds=STEP_MARGIN * images_per_fold * step_seconds,
            views_done=views_done.get(candidate.key, 0),
        )
        for candidate, step_seconds in zip(candidates, seconds, strict=True)
        if step_seconds is not None
    }


def views_within(
    chosen: Candidate,
    images: int,
    to_extract: int,
    backbones: Backbones,
    clock: Clock,
    *,
    share: float = 0.5,
    done: int = 0,
) -> int:
    """Return of how many views a share of the time left allows the codes of images; 1 where it does not allow two.

    Half of it, where fine-tunings are to come. To leave room for a fold of one in place of views was tried: with 60
    seconds at 224 px such folds seldom ended in time, and the views were lost.

    Parameters
    ----------
    to_extract
        Number of further images that the final model will see in as many views, for which there must be time, too.
    done
        Number of views whose codes are cached.
    """
    if not clock.runs_out:
        return VIEWS
    now, later = (backbones.forecast_seconds(chosen.backbone, n * chosen.views) for n in (images, to_extract))
    view_seconds = max(now / share, now + later)
    fitting = (views for views in range(VIEWS, done, -1) if (views - done) * view_seconds <= clock.left())
    return max(1, next(fitting, done))


def with_views(candidates: Sequence[Candidate], views: int) -> tuple[Candidate, ...]:
    """Return fine-tunings that are trained on the augmented views that there are, and need no pass over others.

    One or two views in place of eight cost some two points on 20 images a class (``benchmarks/cached_views.py``).
    """

    def at_most(candidate: Candidate) -> Candidate:
        plan = recipe_of(candidate)
        fewer = dataclasses.replace(plan, cached_augmentations=min(plan.cached_augmentations, views))
        return dataclasses.replace(candidate, plan=fewer)

    return tuple(map(at_most, candidates))


@dataclasses.dataclass(frozen=True)
class Decided:
    """Which fine-tunings are tried, and when."""

    now: tuple[Candidate, ...]
    at_the_end: tuple[Candidate, ...] = ()
    """If the others leave time."""
    once_seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    """What comes before the first fold of each is forecast to take, by its key."""
    fold_seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    """What a fold of each is forecast to take."""
    refit: bool = True
    """Whether there is time to fit the chosen one again on all images."""


def decided_within(
    candidates: Sequence[Candidate],
    points: Mapping[str, float],
    views_done: Mapping[str, int],
    task: Task,
    backbones: Backbones,
    context: FineTuneContext,
    clock: Clock,
) -> Decided:
    """Return the fine-tunings that the time allows, by expected gain per second, and those to try if some is left.

    Parameters
    ----------
    views_done
        As ``forecasts_of``.
    """
    if not clock.runs_out:
        return Decided(tuple(candidates))
    forecasts, n = forecasts_of(candidates, task, backbones, clock, views_done), len(task.y)
    timed = [candidate for candidate in candidates if candidate.key in forecasts]
    refit, folds = context.n_refits * refit_folds(task.n_folds), folds_to_judge(n, task.n_folds)
    entering = worth_trying(timed, forecasts, points, clock.left(), refit=refit, folds=folds)
    if context.n_refits > 1 and not entering.refit:  # the model is that of all images, so nothing goes without
        entering = Entered(())
    entered = entering.candidates
    minutes = {c.label: seconds_needed(c, forecasts[c.key], refit=refit, folds=folds) / 60 for c in timed}
    shortened = {without_length(candidate) for candidate in entered}
    later = tuple(candidate for candidate in candidates if without_length(candidate) not in shortened)
    waiting = ", ".join(f"{c.label} ({minutes[c.label]:.1f} minutes here)" for c in later if c.label in minutes)
    if entered:
        context.listener.say(
            f"the time limit allows the first fold of {', '.join(c.label for c in entered)}; "
            f"{clock.left() / 60:.1f} minutes are left for them"
        )
        if waiting:
            context.listener.say(f"only if time is left at the end: {waiting}; a longer --time-limit tries more")
    else:
        context.listener.say(
            f"the time limit leaves {max(clock.left(), 0) / 60:.1f} minutes, too few for "
            f"{waiting or 'any fine-tuning'}: not tried; a longer --time-limit tries more"
        )
    of_length = {without_length(candidate): forecasts[candidate.key] for candidate in timed}
    each = {candidate: of_length[without_length(candidate)] for candidate in (*timed, *entered)}
    return Decided(
        entered,
        later,
        once_seconds={candidate.key: forecast.once(recipe_of(candidate)) for candidate, forecast in each.items()},
        fold_seconds={candidate.key: forecast.fold(recipe_of(candidate)) for candidate, forecast in each.items()},
        refit=entering.refit,
    )


def without_length(candidate: Candidate) -> Candidate:
    """Return the candidate at alpha 1 without its number of epochs, which the time limit may have lowered."""
    training = training_of(candidate)
    return dataclasses.replace(
        training, plan=dataclasses.replace(recipe_of(training), epochs=0, cached_augmentations=0)
    )


def seconds_by_strategy(
    name: str, candidates: Sequence[Candidate], task: Task, backbones: Backbones, clock: Clock
) -> dict[Strategy, float]:
    """Return what it takes on this machine to judge and to fit each strategy on one of the networks.

    Of several candidates of a strategy, the fastest counts.
    """
    candidates = [candidate for candidate in candidates if candidate.backbone == name]
    forecasts, folds = forecasts_of(candidates, task, backbones, clock), folds_to_judge(len(task.y), task.n_folds)
    seconds: dict[Strategy, float] = {
        "several views": (VIEWS - 1) * backbones.forecast_seconds(name, len(task.y)),
    }
    for candidate in candidates:
        if candidate.key in forecasts:
            needed = seconds_needed(candidate, forecasts[candidate.key], refit=refit_folds(task.n_folds), folds=folds)
            strategy = strategy_of(candidate, backbones.of(candidate).card)
            seconds[strategy] = min(needed, seconds.get(strategy, needed))
    return seconds


def say_that_linear_candidates_alone_are_nested(
    task: Task, backbones: Backbones, context: FineTuneContext, clock: Clock
) -> None:
    """Say that nested cross-validation leaves fine-tunings out, and what the cheapest of them would cost."""
    forecasts = forecasts_of(context.candidates, task, backbones, clock)
    folds = folds_to_judge(len(task.y), task.n_folds)
    each = [
        seconds_needed(candidate, forecasts[candidate.key], refit=refit_folds(task.n_folds), folds=folds)
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
