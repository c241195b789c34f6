"""Which fine-tunings the time allows: never more than there is, the most promising first, shortened where none fits."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.core.plans import Candidate, Recipe
from graftwork.core.schedule import Entered, Forecast, folds_to_judge, seconds_needed, worth_trying

PARTIAL = Candidate("net", ("last",), Recipe("stage", epochs=10, cached_augmentations=8))
FULL = Candidate("net", ("last",), Recipe(None, epochs=10))
SCRATCH = Candidate("net", ("last",), Recipe(None, epochs=40, start="random"))
EVERY = (FULL, SCRATCH, PARTIAL)
FORECASTS = {PARTIAL.key: Forecast(10 / 8, 1), FULL.key: Forecast(0, 5), SCRATCH.key: Forecast(0, 5)}
POINTS = {PARTIAL.key: 2.2, FULL.key: 3.3}
REFIT = 1.5


def test_with_time_enough_all_are_tried_by_gain_per_second() -> None:
    assert worth_trying(EVERY, FORECASTS, POINTS, 1e6, refit=REFIT) == Entered((PARTIAL, FULL, SCRATCH))


def test_a_smaller_input_is_fast_and_needs_codes_of_its_own() -> None:
    above = Candidate("net", ("last",), Recipe("stem", epochs=10))
    smaller = Candidate("net", ("last",), Recipe("stem", epochs=10, input_px=160))
    forecasts = {FULL.key: Forecast(0, 5), above.key: Forecast(0, 4), smaller.key: Forecast(3, 2)}
    points = {smaller.key: 2.8, above.key: 3.3, FULL.key: 3.3}
    entered = worth_trying((smaller, FULL, above), forecasts, points, 1e6, refit=REFIT)
    assert entered.candidates == (smaller, above, FULL)
    takes = 3 + (1 + REFIT) * 20  # codes of that input, one fold, the refit
    assert worth_trying((smaller, FULL), forecasts, points, takes, refit=REFIT) == Entered((smaller,))
    assert worth_trying((smaller,), forecasts, points, takes - 0.1, refit=REFIT) == Entered((smaller,), refit=False)


def test_the_clock_goes_first_to_what_is_expected_to_gain_most_on_these_data() -> None:
    alone = 50 + REFIT * 50  # all layers; the cut before it would leave too little
    assert worth_trying(EVERY, FORECASTS, {PARTIAL.key: 1.0, FULL.key: 5.0}, alone, refit=REFIT) == Entered((FULL,))
    near = {PARTIAL.key: 4.5, FULL.key: 5.0}  # half a point less, and faster
    assert worth_trying(EVERY, FORECASTS, near, alone, refit=REFIT) == Entered((PARTIAL,))
    assert worth_trying(EVERY, FORECASTS, near, alone - 1, refit=REFIT) == Entered((PARTIAL,))


def test_a_loss_is_none_the_better_for_being_slow_and_nothing_known_comes_last() -> None:
    losses = {PARTIAL.key: -0.1, FULL.key: -0.5}
    assert worth_trying(EVERY, FORECASTS, losses, 1e6, refit=REFIT) == Entered((PARTIAL, FULL, SCRATCH))
    assert worth_trying(EVERY, FORECASTS, {SCRATCH.key: -30.0}, 1e6, refit=REFIT).candidates[0] == SCRATCH


def test_time_for_the_refit_is_reserved() -> None:
    takes = 10 + 10 * 1
    assert worth_trying(EVERY, FORECASTS, POINTS, takes + REFIT * 10, refit=REFIT) == Entered((PARTIAL,))


def test_without_time_for_the_refit_the_model_of_a_fold_is_used() -> None:
    takes = 10 + 10 * 1
    assert worth_trying(EVERY, FORECASTS, POINTS, takes + REFIT * 10 - 0.1, refit=REFIT) == Entered(
        (PARTIAL,), refit=False
    )
    assert worth_trying(EVERY, FORECASTS, POINTS, takes, refit=REFIT) == Entered((PARTIAL,), refit=False)
    shorter = worth_trying(EVERY, FORECASTS, POINTS, takes - 0.1, refit=REFIT)
    assert not shorter.refit
    assert [c.plan.epochs for c in shorter.candidates] == [9]
    assert dataclasses.replace(shorter.candidates[0], plan=PARTIAL.plan) == PARTIAL


def test_too_few_epochs_are_not_tried() -> None:
    half = 5 * 10 / 8 + 5  # of their five views, too
    (shortest,) = worth_trying(EVERY, FORECASTS, POINTS, half, refit=REFIT).candidates
    assert (shortest.plan.epochs, shortest.plan.cached_augmentations) == (5, 5)
    assert worth_trying(EVERY, FORECASTS, POINTS, half - 0.1, refit=REFIT).candidates == ()


def test_folds_of_few_images_are_taken_together() -> None:
    takes = 10 + 3 * 10 * 1
    assert worth_trying(EVERY, FORECASTS, POINTS, takes + REFIT * 10, refit=REFIT, folds=3) == Entered((PARTIAL,))
    assert worth_trying(EVERY, FORECASTS, POINTS, takes, refit=REFIT, folds=3) == Entered((PARTIAL,), refit=False)
    shorter = worth_trying(EVERY, FORECASTS, POINTS, takes - 0.1, refit=REFIT, folds=3)
    assert [c.plan.epochs for c in shorter.candidates] == [9]


@pytest.mark.parametrize(("images", "folds"), [(1000, 1), (100, 1), (99, 2), (40, 3), (8, 5), (1, 5)])
def test_a_fine_tuning_is_judged_on_twenty_images_or_all(images: int, folds: int) -> None:
    assert folds_to_judge(images, 5) == folds


@given(st.floats(0, 1000), st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 50)), min_size=3, max_size=3))
def test_first_folds_and_the_longest_refit_fit(seconds: float, costs: list[tuple[float, float]]) -> None:
    forecasts = {c.key: Forecast(*cost) for c, cost in zip(EVERY, costs, strict=True)}
    entering = worth_trying(EVERY, forecasts, POINTS, seconds, refit=REFIT)
    entered = entering.candidates
    by_kind = {(c.plan.start, c.plan.freeze_to): forecasts[c.key] for c in EVERY}
    of = [by_kind[c.plan.start, c.plan.freeze_to] for c in entered]
    folds = [e.fold(c.plan) for c, e in zip(entered, of, strict=True)]
    once = sum(e.once(c.plan) for c, e in zip(entered, of, strict=True))
    assert once + sum(folds) + REFIT * entering.refit * max(folds, default=0) <= seconds + 1e-6
    assert entering.refit or len(entered) < 2


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("candidate", EVERY)
def test_what_is_said_to_be_needed_is_what_is_enough(candidate: Candidate, folds: int) -> None:
    needed = seconds_needed(candidate, FORECASTS[candidate.key], refit=REFIT, folds=folds)
    assert worth_trying((candidate,), FORECASTS, POINTS, needed, refit=REFIT, folds=folds) == Entered((candidate,))
    assert not worth_trying((candidate,), FORECASTS, POINTS, needed - 0.1, refit=REFIT, folds=folds).refit
