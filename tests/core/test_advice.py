"""The rule of thumb can be read aloud, and what is recommended follows from what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.core.advice import (
    DIFFERENT_ENTROPY,
    LARGE_PER_CLASS,
    RULE,
    SAYS,
    Advice,
    Expectation,
    LearningCurve,
    Place,
    Rung,
    Similarity,
    Size,
    place_of,
    situation_of,
)
from graftwork.core.gains import Coefficients, Gain, GainModel
from graftwork.core.result_findings import advice_findings

LADDER = (Rung("pets", 0.5), Rung("waste", 0.8), Rung("steel", 4.2))
LINEAR_AND_TUNED = GainModel(
    {"best layer": Coefficients(0.1, 0, 0, 0), "all layers tuned": Coefficients(0.4, 0, 0, 0)},
    0.1**2 * np.array([[1.0, 0.5], [0.5, 1.0]]),
)
"""Constant shares of the errors, whatever the data."""
SIMILARITY = Similarity("net", 100, 1.0, 10.0, 0.7, 0.5, 1.0, {}, 0.5)


@pytest.mark.parametrize(
    ("per_class", "entropy", "words"),
    [
        (5, 0.3, "small and similar"),
        (1000, 0.3, "large and similar"),
        (5, 4.0, "small and different"),
        (1000, 4.0, "large and different"),
        (LARGE_PER_CLASS - 1, 4.0, "small and different (size near the boundary)"),
        (LARGE_PER_CLASS, DIFFERENT_ENTROPY, "large and different (size and similarity near the boundary)"),
    ],
)
def test_each_situation_is_said_with_what_the_note_says_for_it(per_class: float, entropy: float, words: str) -> None:
    situation = situation_of(per_class, entropy)
    assert situation.in_words == words
    assert situation.says == SAYS[situation.size, situation.similarity]


def test_the_rule_is_that_of_the_note() -> None:
    assert RULE["small", "similar"] == "last layer"
    assert RULE["small", "different"] == "best layer"
    assert RULE["large", "similar"] == RULE["large", "different"] == "all layers tuned"
    assert "somewhere earlier" in SAYS["small", "different"]


@given(st.floats(0.01, 7))
def test_a_place_lies_between_its_rungs(entropy: float) -> None:
    place = place_of(entropy, LADDER)
    assert place.nearer is None or place.nearer.entropy <= entropy
    assert place.farther is None or place.farther.entropy > entropy
    assert place.nearer or place.farther


def test_a_place_is_said_in_words_people_know() -> None:
    assert place_of(1.0, LADDER).in_words == "farther from the source than waste, nearer than steel"
    assert place_of(0.1, LADDER).in_words == "nearer to the source than pets"
    assert place_of(6.0, LADDER).in_words == "farther from the source than steel"
    assert place_of(1.0, ()) == Place(None, None)


def test_twice_the_images_shrink_the_error_as_the_last_doubling_did() -> None:
    doubled = LearningCurve(((50, 0.6), (100, 0.8), (200, 0.9))).doubled
    assert doubled is not None
    assert doubled.points == pytest.approx(5.0)
    assert 0 <= doubled.low < doubled.points < doubled.high <= 10


@pytest.mark.parametrize("points", [(), ((100, 0.9),), ((10, 0.5), (100, 0.9))])
def test_without_a_doubling_nothing_is_forecast(points: tuple[tuple[int, float], ...]) -> None:
    assert LearningCurve(points).doubled is None


def test_a_curve_that_falls_forecasts_no_loss_and_one_without_errors_no_gain() -> None:
    assert LearningCurve(((100, 0.9), (200, 0.8))).doubled == Gain(0.0, 0.0, 2.5)
    perfect = LearningCurve(((100, 1.0), (200, 1.0))).doubled
    assert perfect == Gain(0.0, 0.0, 0.0)


def test_size_counts_groups_and_says_how_uneven_classes_are() -> None:
    tracks = Size(3010, (2000, 1010), 301)
    assert tracks.effective_per_class == 150.5
    assert tracks.imbalance == pytest.approx(2000 / 1010)


def advice(**points: float) -> Advice:
    names = {"last": "last layer", "best": "best layer", "full": "all layers tuned"}
    expectations = tuple(
        Expectation(names[name], Gain(gain, gain - 1, gain + 1), seconds=60.0 * i)  # type: ignore[arg-type]
        for i, (name, gain) in enumerate(points.items())
    )
    size = Size(60, (30, 30), 60)
    return Advice("net", SIMILARITY, LADDER, size, LearningCurve(()), 0.2, situation_of(30, 1.0), expectations)


def test_the_cheapest_that_is_nearly_as_good_as_the_best_is_recommended() -> None:
    assert advice(last=0, best=4.5, full=5).recommended.strategy == "best layer"
    assert advice(last=0, best=3.5, full=5).recommended.strategy == "all layers tuned"
    assert advice(last=0, best=-3, full=0.5).recommended.strategy == "last layer"


def test_rule_and_measurements_disagree_where_the_rule_costs_more_than_half_a_point() -> None:
    assert advice(last=0, best=4.5, full=5).agree
    assert not advice(last=0, best=3.5, full=5).agree


def test_what_was_measured_counts_more_than_what_was_forecast() -> None:
    forecast = advice(last=0, best=2, full=8)
    gain = Gain(6.0, 5.8, 6.2)
    measured = forecast.with_measured({"best layer": gain}, LINEAR_AND_TUNED)
    assert [each.measured for each in measured.expectations] == [None, gain, None]
    assert measured.recommended.strategy == "all layers tuned"
    tuned = measured.with_measured({"all layers tuned": Gain(6.4, 6.3, 6.5)}, LINEAR_AND_TUNED)
    assert [each.measured for each in tuned.expectations] == [None, gain, Gain(6.4, 6.3, 6.5)]
    assert tuned.recommended.strategy == "best layer"
    assert tuned.agree


def test_what_was_measured_is_said_as_such_and_what_is_forecast_with_its_interval() -> None:
    over = "points over a linear classifier on the last layer"
    forecast = advice(last=0, best=3.5, full=5)
    assert forecast.measured_says == f"all layers tuned: expected to gain 5.0 {over} (80 % interval 4.0 to 6.0)"
    measured = forecast.with_measured({"all layers tuned": Gain(4.8, 1.2, 8.4)}, LINEAR_AND_TUNED)
    here = "in cross-validation here (95 % interval 1.2 to 8.4)"
    assert measured.measured_says == f"all layers tuned: gains 4.8 {over}, {here}"
    unsure = forecast.with_measured({"all layers tuned": Gain(4.8, -0.4, 10.0)}, LINEAR_AND_TUNED).measured_says
    assert unsure.endswith("(95 % interval −0.4 to 10.0); chance may explain that")
    assert forecast.rule_says.startswith("small and different (similarity near the boundary): train a linear")
    nothing = "nothing is expected to gain more than 0.5 points over a linear classifier on the last layer"
    assert advice(last=0, best=-3, full=0.5).measured_says == nothing


def test_a_disagreement_says_whether_the_gain_was_measured_or_is_expected() -> None:
    forecast = advice(last=0, best=3.5, full=5)
    (said,) = advice_findings(forecast, 0)
    assert said.code == "G501"
    assert "all layers tuned is expected to gain 1.5 points more" in said.because
    assert said.do
    gains = {"best layer": Gain(3.0, 2.9, 3.1), "all layers tuned": Gain(6.0, 5.9, 6.1)}
    (said,) = advice_findings(forecast.with_measured(gains, LINEAR_AND_TUNED), 0)
    assert "all layers tuned gained 3.0 points more" in said.because
    assert not said.do
    assert advice_findings(advice(last=0, best=4.5, full=5), 0) == ()
