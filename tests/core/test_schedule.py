"""Which fine-tunings the time allows: never more than there is, the most promising first, shortened where none fits."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.core.plans import Candidate, Recipe
from graftwork.core.schedule import Forecast, folds_to_judge, seconds_needed, worth_trying

PARTIAL = Candidate("net", ("last",), Recipe("stage", epochs=10, cached_augmentations=8))
FULL = Candidate("net", ("last",), Recipe(None, epochs=10))
SCRATCH = Candidate("net", ("last",), Recipe(None, epochs=40, start="random"))
EVERY = (FULL, SCRATCH, PARTIAL)
FORECASTS = {PARTIAL.key: Forecast(10 / 8, 1), FULL.key: Forecast(0, 5), SCRATCH.key: Forecast(0, 5)}
REFIT = 1.5


def test_with_time_enough_all_are_tried_by_gain_per_second() -> None:
    assert worth_trying(EVERY, FORECASTS, 1e6, refit=REFIT) == (PARTIAL, FULL, SCRATCH)


def test_time_for_the_refit_is_reserved() -> None:
    takes = 10 + 10 * 1
    assert worth_trying(EVERY, FORECASTS, takes + REFIT * 10, refit=REFIT) == (PARTIAL,)
    shorter = worth_trying(EVERY, FORECASTS, takes + REFIT * 10 - 0.1, refit=REFIT)
    assert [c.plan.epochs for c in shorter] == [9]
    assert dataclasses.replace(shorter[0], plan=PARTIAL.plan) == PARTIAL


def test_too_few_epochs_are_not_tried() -> None:
    half = 5 * 10 / 8 + (1 + REFIT) * 5  # of their five views, too
    (shortest,) = worth_trying(EVERY, FORECASTS, half, refit=REFIT)
    assert (shortest.plan.epochs, shortest.plan.cached_augmentations) == (5, 5)
    assert worth_trying(EVERY, FORECASTS, half - 0.1, refit=REFIT) == ()


def test_folds_of_few_images_are_taken_together() -> None:
    takes = 10 + 3 * 10 * 1 + REFIT * 10
    assert worth_trying(EVERY, FORECASTS, takes, refit=REFIT, folds=3) == (PARTIAL,)
    shorter = worth_trying(EVERY, FORECASTS, takes - 0.1, refit=REFIT, folds=3)
    assert [c.plan.epochs for c in shorter] == [9]


@pytest.mark.parametrize(("images", "folds"), [(1000, 1), (100, 1), (99, 2), (40, 3), (8, 5), (1, 5)])
def test_a_fine_tuning_is_judged_on_twenty_images_or_all(images: int, folds: int) -> None:
    assert folds_to_judge(images, 5) == folds


@given(st.floats(0, 1000), st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 50)), min_size=3, max_size=3))
def test_first_folds_and_the_longest_refit_fit(seconds: float, costs: list[tuple[float, float]]) -> None:
    forecasts = {c.key: Forecast(*cost) for c, cost in zip(EVERY, costs, strict=True)}
    entered = worth_trying(EVERY, forecasts, seconds, refit=REFIT)
    by_kind = {(c.plan.start, c.plan.freeze_to): forecasts[c.key] for c in EVERY}
    of = [by_kind[c.plan.start, c.plan.freeze_to] for c in entered]
    folds = [e.fold(c.plan) for c, e in zip(entered, of, strict=True)]
    once = sum(e.once(c.plan) for c, e in zip(entered, of, strict=True))
    assert once + sum(folds) + REFIT * max(folds, default=0) <= seconds + 1e-6


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("candidate", EVERY)
def test_what_is_said_to_be_needed_is_what_is_enough(candidate: Candidate, folds: int) -> None:
    needed = seconds_needed(candidate, FORECASTS[candidate.key], refit=REFIT, folds=folds)
    assert worth_trying((candidate,), FORECASTS, needed, refit=REFIT, folds=folds) == (candidate,)
    assert worth_trying((candidate,), FORECASTS, needed - 0.1, refit=REFIT, folds=folds) != (candidate,)
