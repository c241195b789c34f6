"""The test: opened once, and scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Ints
from graftwork.core.findings import Finding
from graftwork.core.fitted import Fitted, probabilities
from graftwork.core.plans import Candidate
from graftwork.core.record import HowTested, TestScore
from graftwork.core.result_findings import series_finding
from graftwork.core.scoring import score
from graftwork.core.splits import deal, joined_groups
from graftwork.core.trials import Task
from graftwork.linear_trials import run_trials
from graftwork.steps.backbones import Backbone, Backbones
from graftwork.steps.prepare import SplitImages
from graftwork.steps.search import SearchResult, costs_of, nested_probabilities


def score_held_out(fitted: Fitted, backbone: Backbone, split_images: SplitImages, task: Task) -> TestScore | None:
    """Score the fitted classifier on the test part; None where there is none.

    Parameters
    ----------
    backbone
        The network of the fitted classifier.
    """
    rows = split_images.split.test
    if not len(rows):
        return None
    backbone = backbone.with_activations(())  # which fine-tunings of the develop images alone read
    codes = backbone.codes(split_images.images.take(rows)).of([tap.name for tap in fitted.taps])
    how: HowTested = "given test part" if split_images.test_was_given else "held-out test"
    return _scored(probabilities(fitted, codes), how, rows, split_images, task)


def score_nested(
    candidates: Sequence[Candidate], backbones: Backbones, split_images: SplitImages, task: Task
) -> TestScore | None:
    """Score the whole procedure, choices included, with every image once."""
    costs = costs_of(candidates, backbones.cards)
    rows = nested_probabilities(candidates, backbones.codes, task, costs=costs, listener=backbones.listener)
    return _scored(rows, "nested cross-validation", split_images.split.develop, split_images, task)


def score_with_series_grouped(
    result: SearchResult, backbones: Backbones, split_images: SplitImages, task: Task
) -> tuple[Finding, ...]:
    """Where images seem to come in series, score the best linear classifier with each series inside one fold."""
    if split_images.series is None:
        return ()
    rows = split_images.split.develop
    series = joined_groups(len(rows), split_images.series[rows], task.groups)
    folds = deal(task.y, series, (1.0,) * task.n_folds, np.random.default_rng(task.seed))
    if len(np.unique(folds)) < 2:  # all of one series: no fold could be without it
        return ()
    everything = np.arange(len(rows))
    trial = next(run_trials([result.chosen.candidate], backbones.codes, task.take(everything, folds)))
    grouped = score(task.metric, task.y, trial.probabilities, series)
    return (series_finding(grouped, result.verdict.rows[result.verdict.chosen], images=len(rows)),)


def _scored(
    probability_rows: NDArray[np.float32],
    how: HowTested,
    rows: Ints,
    split_images: SplitImages,
    task: Task,
) -> TestScore:
    """Score these rows of the image table."""
    y = split_images.images.labels[rows]
    figure = score(task.metric, y, probability_rows, split_images.split.groups[rows])
    return TestScore(figure, how, rows, y, probability_rows)
