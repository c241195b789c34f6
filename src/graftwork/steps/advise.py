"""Similarity, size and the linear search's result become advice: what the rule says, and what is expected."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from graftwork.advice.learning_curve import learning_curve
from graftwork.advice.similarity import DIGEST_LENGTH, SourceClassifier, similarity_of
from graftwork.advice.sources import GAUGE, GAUGE_IMAGES, GAUGE_PX, coefficients, gauge_profile, ladder
from graftwork.backbones.tensors import tensors_of
from graftwork.core.advice import (
    Advice,
    Expectation,
    Gain,
    Similarity,
    Size,
    Strategy,
    expected_gain,
    place_of,
    situation_of,
)
from graftwork.core.options import ExtractionOptions
from graftwork.core.plans import Candidate, Linear
from graftwork.core.trials import Task, Trial
from graftwork.images.imageset import ImageSet
from graftwork.steps.backbones import Backbones, open_backbone
from graftwork.steps.search import SearchResult
from graftwork.tournament import run_trials

_GAUGE_WEIGHT, _GAUGE_BIAS = "classifier.weight", "classifier.bias"
_NO_CODES: tuple[Strategy, ...] = ("last layer", "best layer")
"""Strategies that need no codes beyond those of the search."""


def advise(
    result: SearchResult,
    task: Task,
    backbones: Backbones,
    develop: ImageSet,
    intensity_range: tuple[float, float] | None = None,
    *,
    seconds: Mapping[Strategy, float],
) -> Advice:
    """Return what was measured of the images to develop on, and what follows from it.

    Parameters
    ----------
    intensity_range
        Of images of more than 8 bits per channel.
    seconds
        What judging and fitting a strategy takes on this machine, where that is known.
    """
    last = last_layer_trial(result, task, backbones)
    codes = backbones.codes(last.candidate).of(last.candidate.taps)
    similarity = measured_similarity(develop, backbones, intensity_range, seed=task.seed)
    digests = {str(digest)[:DIGEST_LENGTH] for digest in develop.digests}
    rungs = [rung for rung in ladder() if digests.isdisjoint(rung.digests)]
    size = Size(len(task.y), tuple(np.bincount(task.y, minlength=task.n_classes).tolist()), len(np.unique(task.groups)))
    error = float((last.probabilities.argmax(axis=1) != task.y).mean())
    expected = {
        strategy: expected_gain(
            each, error=error, effective_per_class=size.effective_per_class, entropy=similarity.entropy
        )
        for strategy, each in coefficients().items()
    }
    measured = _measured(result, last, task)
    every = [
        Expectation("last layer", Gain(0.0, 0.0, 0.0), 0.0, 0.0),
        *(Expectation(name, gain, measured.get(name), _seconds(name, seconds)) for name, gain in expected.items()),
    ]
    return Advice(
        similarity=similarity,
        place=place_of(similarity.entropy, rungs),
        size=size,
        curve=learning_curve(codes, task, last),
        error=error,
        situation=situation_of(size.effective_per_class, similarity.entropy),
        expectations=tuple(sorted(every, key=_cost)),
    )


def known_to_gauge(develop: ImageSet) -> int:
    """Return how many images are among those that describe the gauge's source."""
    known = set(gauge_profile().digests)
    return sum(str(digest)[:DIGEST_LENGTH] in known for digest in develop.digests)


def last_layer_trial(result: SearchResult, task: Task, backbones: Backbones) -> Trial:
    """Return the trial of a softmax on the last layer of the network that the search chose; run where it was not."""
    chosen = result.chosen.candidate
    card = backbones.by_name[chosen.backbone].card
    last = dataclasses.replace(chosen, taps=(card.taps[-1].name,), plan=Linear("softmax", "standard"))
    tried = (trial for trial in result.trials if trial.candidate == last)
    return next(tried, None) or next(run_trials([last], backbones.codes, task))


def measured_similarity(
    images: ImageSet, backbones: Backbones, intensity_range: tuple[float, float] | None, *, seed: int
) -> Similarity:
    """Measure on some of the images, with the gauge, how much they look like its source."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:GAUGE_IMAGES])
    some = images.take(rows)
    gauge = open_backbone(
        GAUGE,
        ExtractionOptions(input_px=GAUGE_PX),
        some,
        store=backbones.store,
        intensity_range=intensity_range,
        listener=backbones.listener,
    )
    tensors = tensors_of(gauge.card)
    codes = gauge.codes(some, backbones.listener)
    return similarity_of(
        {tap.name: codes.of([tap.name]) for tap in gauge.card.taps},
        some.labels,
        SourceClassifier(tensors[_GAUGE_WEIGHT], tensors[_GAUGE_BIAS]),
        gauge_profile(),
        gauge=gauge.card.name,
    )


def _measured(result: SearchResult, last: Trial, task: Task) -> dict[Strategy, float]:
    """Return what strategies gained over the last layer that the search has tried, in points of accuracy."""

    def accuracy(trial: Trial) -> float:
        return float((trial.probabilities.argmax(axis=1) == task.y).mean())

    return {"best layer": 100 * (accuracy(result.chosen) - accuracy(last))}


def _seconds(strategy: Strategy, seconds: Mapping[Strategy, float]) -> float | None:
    return 0.0 if strategy in _NO_CODES else seconds.get(strategy)


def _cost(expectation: Expectation) -> tuple[float, int]:
    """What a strategy is ordered by: its seconds here, and otherwise the order in which they usually rise."""
    usual = list(coefficients()).index(expectation.strategy) + 1 if expectation.strategy != "last layer" else 0
    return (0.0 if expectation.seconds is None else expectation.seconds, usual)


def strategy_of(candidate: Candidate) -> Strategy:
    """Return the strategy that a fine-tuning belongs to."""
    plan = candidate.plan
    assert not isinstance(plan, Linear)
    if plan.kind == "scratch":
        return "from scratch"
    if plan.input_px is not None:
        return "smaller input"
    if plan.kind == "full":
        return "all layers tuned"
    return "tuned above a cut" if plan.cached_augmentations else "tuned above the lowest"
