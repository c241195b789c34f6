"""From codes to a verdict: the search that ``train`` runs once, and that nested cross-validation runs in every fold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from graftwork.core.findings import Finding
from numpy.typing import NDArray

from graftwork.backbones.catalogue import layer_names
from graftwork.core.arrays import Floats, Ints
from graftwork.core.choose import TOLERANCE, Verdict, choose
from graftwork.core.facts import BackboneCard
from graftwork.core.fitted import probabilities
from graftwork.core.metrics import Metric
from graftwork.core.plans import Candidate, Loss, Normalise, linear_candidates
from graftwork.core.splits import deal
from graftwork.core.trials import Baseline, Task, Trial
from graftwork.fit import CodesOf, fit
from graftwork.listener import Listener
from graftwork.tournament import run_baselines, run_trials


@dataclasses.dataclass(frozen=True)
class Rules:
    """What every search of a run has in common."""

    candidates: tuple[Candidate, ...]
    classes: tuple[str, ...]
    metric: Metric
    balanced: bool
    """Classes weigh the same in fitting, however many images they have."""
    seed: int
    tolerance: float = TOLERANCE

    def task(self, y: Ints, folds: Ints) -> Task:
        """Return what candidates are tried on, given classes and folds (n,) of images."""
        return Task(y, folds, len(self.classes), self.metric, self.balanced)


def linear_rules(
    cards: Sequence[BackboneCard],
    classes: tuple[str, ...],
    *,
    layer: str = "auto",
    loss: Loss | Literal["auto"],
    normalise: Normalise,
    pool: Literal["average", "max"],
    views: int,
    metric: Metric,
    class_weight: Literal["auto", "none", "balanced"],
    seed: int,
    tolerance: float = TOLERANCE,
) -> Rules:
    """Return the rules of a search for linear classifiers, as a user asks for it (``verbs.train``).

    Raises
    ------
    BackboneError
        When a card has no such layer.
    """
    return Rules(
        candidates=tuple(
            candidate
            for card in cards
            for candidate in linear_candidates(
                card,
                layers=None if layer == "auto" else layer_names(card, layer),
                losses=("softmax", "svm") if loss == "auto" else (loss,),
                normalise=normalise,
                pool=pool,
                views=views,
            )
        ),
        classes=classes,
        metric=metric,
        balanced=class_weight == "balanced" or (class_weight == "auto" and metric == "balanced-accuracy"),
        seed=seed,
        tolerance=tolerance,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search leaves behind."""

    trials: tuple[Trial, ...]
    baselines: tuple[Baseline, ...]
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    """What the search found worth telling."""

    @property
    def chosen(self) -> Trial:
        """The trial that the verdict chose."""
        return self.trials[self.verdict.chosen]


def search(
    rules: Rules,
    codes_of: CodesOf,
    y: Ints,
    folds: Ints,
    groups: Ints,
    *,
    features: Mapping[str, Floats],
    costs: Sequence[float],
    listener: Listener,
) -> SearchResult:
    """Try every candidate on the folds and choose; Ctrl-C stops trying and chooses among what was tried.

    Parameters
    ----------
    y, folds, groups
        (n,) of the images to develop on.
    features
        What the baselines are fitted on, by name; each (n, d).
    costs
        What using each candidate takes.
    """
    task = rules.task(y, folds)
    trials: list[Trial] = []
    try:
        for trial in run_trials(rules.candidates, codes_of, task, on_trial=listener.progress):
            trials.append(trial)
    except KeyboardInterrupt:
        if not trials:
            raise
        listener.say(
            f"stopped after {len(trials)} of {len(rules.candidates)} candidates; going on with the best so far"
        )
    baselines = run_baselines(features, task)
    verdict = choose(
        trials,
        costs[: len(trials)],
        y,
        groups,
        rules.metric,
        seed=rules.seed,
        n_folds=task.n_folds,
        tolerance=rules.tolerance,
        baselines=[(row.name, row.probabilities) for row in baselines],
    )
    return SearchResult(tuple(trials), baselines, verdict)


def nested_probabilities(
    rules: Rules,
    codes_of: CodesOf,
    y: Ints,
    folds: Ints,
    groups: Ints,
    *,
    costs: Sequence[float],
    listener: Listener,
) -> NDArray[np.float32]:
    """(n, k) rows of images that the whole procedure, choices included, did not see: nested cross-validation."""
    rows = np.zeros((len(y), len(rules.classes)), np.float32)
    for fold in np.unique(folds):
        inside = np.flatnonzero(folds != fold)
        outside = np.flatnonzero(folds == fold)
        rng = np.random.default_rng([rules.seed, int(fold)])
        inner = deal(y[inside], groups[inside], (1.0,) * len(np.unique(folds)), rng)
        found = search(
            rules,
            lambda candidate, inside=inside: codes_of(candidate).take(inside),  # type: ignore[misc]  # bound now
            y[inside],
            inner,
            groups[inside],
            features={},
            costs=costs,
            listener=listener,
        )
        codes = codes_of(found.chosen.candidate)
        fitted = fit(found.chosen, codes.take(inside), y[inside], rules.classes, balanced=rules.balanced)
        rows[outside] = probabilities(fitted, codes.take(outside).of(found.chosen.candidate.taps))
    return rows
