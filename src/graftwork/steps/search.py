"""From codes to a verdict: the search that ``train`` runs once, and nested cross-validation once per fold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.cards import layer_names
from graftwork.codes.extract import CodesOf, LayerCodes
from graftwork.core.arrays import Floats
from graftwork.core.choose import Verdict, choose
from graftwork.core.facts import BackboneCard
from graftwork.core.findings import Finding
from graftwork.core.fitted import probabilities
from graftwork.core.options import AUTO, ExtractionOptions, JudgingOptions
from graftwork.core.plans import Candidate, cost_to_use, linear_candidates
from graftwork.core.splits import deal
from graftwork.core.trials import Baseline, Task, Trial
from graftwork.fit import fit
from graftwork.linear_trials import run_baselines, run_trials
from graftwork.listener import SILENT, Listener


@dataclasses.dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search leaves behind."""

    trials: tuple[Trial, ...]
    baselines: tuple[Baseline, ...]
    verdict: Verdict
    findings: tuple[Finding, ...] = ()

    @property
    def chosen(self) -> Trial:
        """The trial that the verdict chose."""
        return self.trials[self.verdict.chosen]


def candidates_for(
    cards: Sequence[BackboneCard], extraction: ExtractionOptions, judging: JudgingOptions
) -> tuple[Candidate, ...]:
    """Return the linear classifiers to try, as a user asks for them.

    Raises
    ------
    BackboneError
        When a card has no such layer.
    """
    return tuple(
        candidate
        for card in cards
        for candidate in linear_candidates(
            card,
            layers=None if judging.layer == AUTO else layer_names(card, judging.layer),
            losses=judging.losses,
            normalise=judging.normalise,
            pool=extraction.pool,
            views=extraction.views,
        )
    )


def costs_of(candidates: Sequence[Candidate], cards: Sequence[BackboneCard]) -> list[float]:
    """Return what using each candidate costs (``core.plans.cost_to_use``)."""
    return [cost_to_use(candidate, cards) for candidate in candidates]


def search(
    candidates: Sequence[Candidate],
    codes_of: CodesOf,
    task: Task,
    *,
    costs: Sequence[float],
    features: Mapping[str, Floats],
    folder: Path | None = None,
    listener: Listener = SILENT,
) -> SearchResult:
    """Try every linear candidate on the folds and choose.

    Parameters
    ----------
    costs
        What using each candidate takes.
    features
        What the baselines are fitted on, by name; each (n, d).
    folder
        Where trials are saved, so that a run that was stopped does not repeat them.
    """
    trials = tuple(run_trials(candidates, codes_of, task, folder=folder, listener=listener))
    baselines = run_baselines(features, task)
    return SearchResult(trials, baselines, choose(trials, costs, task, baselines))


def nested_probabilities(
    candidates: Sequence[Candidate],
    codes_of: CodesOf,
    task: Task,
    *,
    costs: Sequence[float],
    listener: Listener = SILENT,
) -> NDArray[np.float32]:
    """(n, k) rows by nested cross-validation: the whole procedure, choices included, has not seen a row's image."""
    rows = np.zeros((len(task.y), task.n_classes), np.float32)
    for fold in np.unique(task.folds):
        inside = np.flatnonzero(task.folds != fold)
        outside = np.flatnonzero(task.folds == fold)
        rng = np.random.default_rng([task.seed, int(fold)])
        inner_folds = deal(task.y[inside], task.groups[inside], (1.0,) * task.n_folds, rng)
        inner = task.take(inside, inner_folds)

        def inner_codes(candidate: Candidate, inside: NDArray[np.intp] = inside) -> LayerCodes:
            return codes_of(candidate).take(inside)

        result = search(candidates, inner_codes, inner, costs=costs, features={}, listener=listener)
        chosen = result.chosen.candidate
        fitted = fit(result.chosen, inner_codes(chosen), inner)
        rows[outside] = probabilities(fitted, codes_of(chosen).take(outside).of(chosen.taps))
    return rows
