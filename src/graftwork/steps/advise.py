"""Similarity, size and the linear search's result become advice: what the rule says, and what is expected."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from graftwork.advice.learning_curve import learning_curve
from graftwork.advice.similarity import DIGEST_LENGTH, SourceProfile, classifier_of, similarity_of
from graftwork.advice.sources import GAUGE, GAUGE_IMAGES, gain_model, gauge_profile, ladder, own_profile
from graftwork.core.advice import Advice, Expectation, Similarity, Size, situation_of
from graftwork.core.choose import beside
from graftwork.core.facts import BackboneCard
from graftwork.core.gains import (
    OVER_ALL_LAYERS,
    Gain,
    Strategy,
    averaged,
    expected_gains,
    strategy_of,
    training_of_strategy,
)
from graftwork.core.options import ExtractionOptions
from graftwork.core.plans import Candidate, Linear
from graftwork.core.trials import Task, Trial
from graftwork.images.imageset import ImageSet
from graftwork.linear_trials import run_trials
from graftwork.steps.backbones import Backbones, open_backbone
from graftwork.steps.search import SearchResult

_NO_CODES: tuple[Strategy, ...] = ("last layer", "best layer")
"""Strategies that need no codes beyond those of the search."""
FEWEST_VIEWS = 4
"""Views that gain about what the eight do that the forecast was fitted on: four of them gained 1.5 of 1.9 points, two
0.6 and three 0.7 (20 images a class of nine sets; ``benchmarks/views.py``)."""


def advise(
    result: SearchResult,
    task: Task,
    backbones: Backbones,
    develop: ImageSet,
    intensity_range: tuple[float, float] | None = None,
    *,
    candidates: Sequence[Candidate],
    seconds: Mapping[Strategy, float] = MappingProxyType({}),
) -> Advice:
    """Return what was measured of the images to develop on, and what follows from it.

    Parameters
    ----------
    intensity_range
        Of images of more than 8 bits per channel.
    candidates
        The fine-tunings that would be tried: a smaller input and frozen lowest stages are forecast where one of them
        has it.
    seconds
        What judging and fitting a strategy takes on this machine, where that is known.
    """
    last = last_layer_trial(result, task, backbones, result.chosen.candidate.backbone)
    codes = backbones.codes(last.candidate).of(last.candidate.taps)
    card = backbones.by_name[last.candidate.backbone].card
    similarity = measured_similarity(develop, card, backbones, intensity_range, seed=task.seed)
    size = Size(len(task.y), tuple(np.bincount(task.y, minlength=task.n_classes).tolist()), len(np.unique(task.groups)))
    error = 1 - _accuracy(last, task)
    tried = {strategy_of(each, card) for each in candidates if each.backbone == last.candidate.backbone}
    every = [
        Expectation("last layer", Gain(0.0, 0.0, 0.0), seconds=0.0),
        *(
            Expectation(name, gain, None, _seconds(name, seconds))
            for name, gain in expected_gains(
                gain_model(),
                error=error,
                effective_per_class=size.effective_per_class,
                entropy=similarity.entropy,
            ).items()
            if training_of_strategy(name) in tried or training_of_strategy(name) not in OVER_ALL_LAYERS
        ),
    ]
    advice = Advice(
        backbone=last.candidate.backbone,
        similarity=similarity,
        ladder=ladder(without={str(digest)[:DIGEST_LENGTH] for digest in develop.digests}),
        size=size,
        curve=learning_curve(codes, task, last),
        error=error,
        situation=situation_of(size.effective_per_class, similarity.entropy),
        # stable, so that those without seconds stay in the order of their usual cost
        expectations=tuple(sorted(every, key=lambda each: each.seconds or 0.0)),
    )
    return with_tried(advice, result, task, backbones)


def with_tried(advice: Advice, result: SearchResult, task: Task, backbones: Backbones) -> Advice:
    """Return advice with what was gained by the strategies that were tried on the network that it is about.

    Fine-tunings are measured as they are forecast, at alpha 1; each on the images that it was run on.
    """
    last = last_layer_trial(result, task, backbones, advice.backbone)
    return advice.with_measured(_measured(last, result, task, backbones), gain_model())


def expected_points(
    candidates: Sequence[Candidate], advice: Advice, result: SearchResult, task: Task, backbones: Backbones
) -> dict[str, float]:
    """Return what fine-tunings are expected to gain over the chosen linear classifier, in points, by their keys.

    A training can be used on one view or on several, and counts by the better of both. A strategy that no reference
    set was measured with, such as random weights, has none.

    Parameters
    ----------
    result
        Of the linear candidates: what they gained is known of their networks.
    """
    points: dict[str, float] = {}
    for name in dict.fromkeys(candidate.backbone for candidate in candidates):
        accuracies = _expected(name, advice, result, task, backbones)
        card = backbones.by_name[name].card
        for candidate in candidates:
            training = strategy_of(candidate, card)
            known = [accuracies[each] for each in (training, averaged(training)) if each in accuracies]
            if candidate.backbone == name and known:
                points[candidate.key] = 100 * (max(known) - _accuracy(result.chosen, task))
    return points


def expected_accuracies(advice: Advice, result: SearchResult, task: Task, backbones: Backbones) -> list[float]:
    """Return the accuracy that is expected of each trial, given what was measured of all and what other data gained.

    Returns
    -------
    Shares, in the order of the trials; NaN for a strategy that no reference set was measured with, and for an average
    over fewer than ``FEWEST_VIEWS`` views.
    """
    by_network = {
        card.name: _expected(card.name, advice, result, task, backbones)
        for card in backbones.cards
        if any(trial.candidate.backbone == card.name for trial in result.trials)
    }
    expected = []
    for candidate in (trial.candidate for trial in result.trials):
        own = backbones.by_name[candidate.backbone]
        views = own.extraction.views
        strategy = strategy_of(candidate, own.card, views=views)
        few = views < candidate.views < FEWEST_VIEWS * views
        expected.append(math.nan if few else by_network[candidate.backbone].get(strategy, math.nan))
    return expected


def _expected(
    name: str, advice: Advice, result: SearchResult, task: Task, backbones: Backbones
) -> dict[Strategy, float]:
    """Return the accuracy that is expected of each strategy on a network, as a share."""
    last = last_layer_trial(result, task, backbones, name)
    accuracy = _accuracy(last, task)
    gains = expected_gains(
        gain_model(),
        error=1 - accuracy,
        effective_per_class=advice.size.effective_per_class,
        entropy=advice.similarity.entropy,
        measured=_measured(last, result, task, backbones),
    )
    accuracies: dict[Strategy, float] = {"last layer": accuracy}
    return accuracies | {strategy: accuracy + gain.points / 100 for strategy, gain in gains.items()}


def known_to_gauge(develop: ImageSet, card: BackboneCard) -> int:
    """Return how many images are among those that describe the source of the gauge of a network."""
    known = set(gauge_of(card)[1].digests)
    return sum(str(digest)[:DIGEST_LENGTH] in known for digest in develop.digests)


def last_layer_trial(result: SearchResult, task: Task, backbones: Backbones, name: str) -> Trial:
    """Return the trial of a softmax on the last layer of a network; run where the search did not."""
    card = backbones.by_name[name].card
    first = next(trial.candidate for trial in result.trials if trial.candidate.backbone == name)
    last = dataclasses.replace(first, taps=(card.taps[-1].name,), plan=Linear("softmax", "standard"))
    tried = (trial for trial in result.trials if trial.candidate == last)
    return next(tried, None) or next(run_trials([last], backbones.codes, task))


def gauge_of(card: BackboneCard) -> tuple[str, SourceProfile]:
    """Return the network that measures similarity for another one, and the profile of its source.

    That is the network itself where somebody measured what its source is like (``zoo.profile``) and it has a
    classifier; else the embedded default.
    """
    own = own_profile(card)
    return (card.name, own) if own is not None and own.entropy > 0 else (GAUGE, gauge_profile())


def measured_similarity(
    images: ImageSet,
    card: BackboneCard,
    backbones: Backbones,
    intensity_range: tuple[float, float] | None,
    *,
    seed: int,
) -> Similarity:
    """Measure on some of the images, with the gauge of a network, how much they look like its source."""
    name, profile = gauge_of(card)
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:GAUGE_IMAGES])
    some = images.take(rows)
    gauge = open_backbone(
        name,
        ExtractionOptions(input_px=profile.input_px),
        some,
        store=backbones.store,
        intensity_range=intensity_range,
        listener=backbones.listener,
    )
    codes = gauge.codes(some, backbones.listener)
    similarity = similarity_of(
        {tap.name: codes.of([tap.name]) for tap in gauge.card.taps},
        some.labels,
        classifier_of(gauge.body(), gauge.card.taps[-1].channels),
        profile,
        gauge=gauge.card.name,
    )
    # how confident a classifier is depends on how it was trained: the rungs of the ladder are the embedded default's
    scale = gauge_profile().entropy / profile.entropy
    return dataclasses.replace(similarity, entropy=scale * similarity.entropy)


def _best_layer(last: Trial, result: SearchResult, task: Task) -> Gain:
    """What the best layer of the last layer's network gains over it; the interval holds for all of its layers."""
    plain = [
        trial
        for trial in result.trials
        if isinstance(trial.candidate.plan, Linear)
        and (trial.candidate.backbone, trial.candidate.views) == (last.candidate.backbone, last.candidate.views)
    ]
    best = result.chosen if result.chosen in plain else max(plain, key=lambda trial: _accuracy(trial, task))
    return gain_over(last, best, task, among=plain)


def _measured(last: Trial, result: SearchResult, task: Task, backbones: Backbones) -> dict[Strategy, Gain]:
    """What strategies have gained over the last layer on its network, by their best candidates."""
    card = backbones.by_name[last.candidate.backbone].card
    measured: dict[Strategy, Gain] = {"best layer": _best_layer(last, result, task)}
    for trial in result.trials:
        candidate = trial.candidate
        strategy = strategy_of(candidate, card, views=last.candidate.views)
        plain = isinstance(candidate.plan, Linear) or candidate.plan.alpha == 1
        if candidate.backbone != last.candidate.backbone or strategy in _NO_CODES or not plain:
            continue
        gain = gain_over(last, trial, task)
        measured[strategy] = max(gain, measured.get(strategy, gain), key=lambda each: each.points)
    return measured


def gain_over(last: Trial, trial: Trial, task: Task, among: Sequence[Trial] = ()) -> Gain:
    """Return what a trial gains over that of the last layer, in points, on the images that both have.

    Parameters
    ----------
    among
        Trials that it was chosen from: the interval holds for all of them at once.
    """
    rest = [each for each in among if each is not trial and each.candidate != last.candidate]
    row, *_ = beside(trial, [last, *rest], task, "accuracy")
    return Gain(100 * row.deficit, 100 * row.deficit_low, 100 * row.deficit_high)


def _accuracy(trial: Trial, task: Task) -> float:
    """Share of images that a trial classified correctly out of fold."""
    return float((trial.probabilities.argmax(axis=1) == task.y).mean())


def _seconds(strategy: Strategy, seconds: Mapping[Strategy, float]) -> float | None:
    return 0.0 if strategy in _NO_CODES else seconds.get(training_of_strategy(strategy))
