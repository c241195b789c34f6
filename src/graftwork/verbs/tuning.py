"""Fine-tunings beside what the linear search found, on the same folds; then one verdict over all of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from graftwork.codes.extract import LayerCodes
from graftwork.codes.store import BUDGET_MB
from graftwork.core.choose import choose
from graftwork.core.facts import digest_of
from graftwork.core.plans import Candidate, Linear, Recipe
from graftwork.core.recipes import DEFAULT_RECIPE, tuning_candidates, work
from graftwork.core.trials import Trial
from graftwork.fit import Tuning
from graftwork.tournament import Tournament, in_order, run_trials
from graftwork.verbs.clock import Clock
from graftwork.verbs.listener import Listener
from graftwork.verbs.prepare import Prepared
from graftwork.verbs.reading import Opened
from graftwork.verbs.search import Found, Rules

VIEWS = 8
"""Views whose codes are averaged by the linear candidate of several views."""
WORK = "work"
"""Folder of a run for what a killed one goes on with; dropped when the run is whole."""
MAPS_SHARE = 0.5
"""Share of the store's budget that the activations of one cut may take."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a user can decide about fine-tuning; None leaves it to the recipe."""

    recipe: str = DEFAULT_RECIPE
    freeze_to: str | None = None
    scratch: bool | None = None
    exhaustive: bool = False
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    layer_decay: float | None = None
    augment: str | None = None

    def candidates(self, opened: Opened, images: int) -> tuple[Candidate, ...]:
        """Return the fine-tunings to try, every choice of the user in place of the recipe's."""
        chosen = {
            name: value
            for name in ("epochs", "batch_size", "lr", "layer_decay", "augment")
            if (value := getattr(self, name)) is not None
        }
        found = tuning_candidates(
            opened.reading.card, images, freeze_to=self.freeze_to, name=self.recipe, scratch=self.scratch
        )
        return tuple(dataclasses.replace(c, plan=dataclasses.replace(c.plan, **chosen)) for c in found)


def tuning_for(prepared: Prepared, opened: Opened, folder: Path, *, seed: int, listener: Listener) -> Tuning:
    """Return what fine-tunings of the develop images need."""
    return Tuning(
        images=prepared.develop,
        read=lambda images, reading: opened.read_as(reading).codes(images, listener.progress),
        folder=folder / WORK / digest_of([prepared.split.digest, *map(str, prepared.develop.digests)]),
        store_mb=MAPS_SHARE * BUDGET_MB,
        seed=seed,
        say=listener.say,
    )


def compete(
    rules: Rules,
    found: Found,
    opened: Opened,
    codes: LayerCodes,
    prepared: Prepared,
    wanted: Wanted,
    tuning: Tuning,
    clock: Clock,
    listener: Listener,
) -> Found:
    """Set fine-tunings and codes of several views beside the linear trials, and choose among all.

    The linear trials are taken as they are. Where the clock allows some folds only, the candidates are compared on
    their images, and of the linear ones only the chosen stands against them.
    """
    card = opened.reading.card
    start = _last_layer_trial(found)
    trials = [*found.trials, *_several_views(rules, found, opened, prepared, clock, listener)]
    tournament = Tournament(
        opened.reading,
        codes,
        prepared.y,
        prepared.split.folds,
        n_classes=len(rules.classes),
        metric=rules.metric,
        balanced=rules.balanced,
        C=start.details["C"],
        tuning=tuning,
        clock=clock,
        on_progress=lambda text, share: listener.say(text) if share == 1.0 and text.endswith("%") else None,
    )

    def forecast(candidate: Candidate) -> float:
        assert isinstance(candidate.plan, Recipe)
        return work(candidate.plan, card, len(prepared.y))

    tuned = tournament.run(in_order(wanted.candidates(opened, len(prepared.y)), forecast), exhaustive=wanted.exhaustive)
    if not tuned:
        listener.say("no fine-tuning fits into the time limit; the linear model stands")
    if any(trial.ended == "whole" and not trial.run.all() for trial in tuned):
        trials = [
            dataclasses.replace(trial, ended="dropped early")
            if number < len(found.trials) and number != found.verdict.chosen
            else trial
            for number, trial in enumerate(trials)
        ]
    trials = [*trials, *tuned]
    verdict = choose(
        trials,
        [opened.cost(trial.candidate) for trial in trials],
        prepared.y,
        prepared.develop_groups,
        rules.metric,
        seed=rules.seed,
        worth=rules.worth,
        baselines=[(row.name, row.probabilities) for row in found.baselines],
    )
    return Found(tuple(trials), found.baselines, verdict)


def _last_layer_trial(found: Found) -> Trial:
    """The softmax on the last layer, where every fine-tuning begins; the chosen C where it was not tried."""
    last = found.trials[-1].candidate.taps[-1:]
    softmax = [
        trial
        for trial in found.trials
        if isinstance(trial.candidate.plan, Linear) and trial.candidate.plan.loss == "softmax"
    ]
    return next((trial for trial in softmax if trial.candidate.taps == last), (softmax or [found.chosen])[-1])


def _several_views(
    rules: Rules, found: Found, opened: Opened, prepared: Prepared, clock: Clock, listener: Listener
) -> list[Trial]:
    """The chosen linear candidate on codes averaged over several views, where there is time."""
    chosen = found.chosen.candidate
    candidate = dataclasses.replace(chosen, views=VIEWS * chosen.views)
    if opened.forecast_seconds(len(prepared.y) * VIEWS) > clock.left() / 2:
        listener.say(f"codes of {VIEWS} views do not fit into the time limit; not tried")
        return []
    codes = opened.viewed(candidate.views).codes(prepared.develop, listener.progress)
    return list(
        run_trials(
            [candidate],
            codes,
            prepared.y,
            prepared.split.folds,
            n_classes=len(rules.classes),
            metric=rules.metric,
            balanced=rules.balanced,
        )
    )
