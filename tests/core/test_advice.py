"""The rule of thumb can be read aloud, and the forecast never promises more than there are errors."""

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
    Coefficients,
    Expectation,
    Gain,
    GainModel,
    LearningCurve,
    Place,
    Rung,
    Similarity,
    Size,
    expected_gains,
    place_of,
    situation_of,
    strategy_of,
)
from graftwork.core.facts import BackboneCard, Preprocess, Tap
from graftwork.core.plans import Candidate, Linear, Recipe
from graftwork.core.result_findings import advice_findings

LADDER = (Rung("pets", 0.5), Rung("waste", 0.8), Rung("steel", 4.2))
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


def model(deviation: float = 0.1, correlation: float = 0.5, **shares: float) -> GainModel:
    """Constant shares of the errors, whatever the data."""
    names = {"best": "best layer", "full": "all layers tuned", "full_views": "all layers tuned, several views"}
    s = len(shares)
    covariance = deviation**2 * ((1 - correlation) * np.eye(s) + correlation)
    return GainModel({names[name]: Coefficients(share, 0, 0, 0) for name, share in shares.items()}, covariance)  # type: ignore[misc]


HERE = {"error": 0.2, "effective_per_class": 20.0, "entropy": 1.0}
LINEAR_AND_TUNED = model(best=0.1, full=0.4)


@given(
    st.floats(0, 1), st.floats(1, 1e5), st.floats(0, 7), st.lists(st.floats(-2, 2), min_size=4, max_size=4),
    st.none() | st.tuples(st.floats(-50, 50), st.floats(0, 30)),
)  # fmt: skip
def test_no_gain_is_larger_than_the_errors(
    error: float, per_class: float, entropy: float, weights: list[float], seen: tuple[float, float] | None
) -> None:
    any_shares = GainModel(
        {"best layer": Coefficients(*weights), "all layers tuned": Coefficients(*weights)}, np.full((2, 2), 0.04)
    )
    measured = {} if seen is None else {"best layer": Gain(seen[0], seen[0] - seen[1], seen[0] + seen[1])}
    gains = expected_gains(any_shares, error=error, effective_per_class=per_class, entropy=entropy, measured=measured)  # type: ignore[arg-type]
    for gain in gains.values():
        assert gain.low <= gain.points <= gain.high
        assert gain.high <= 100 * error
        assert gain.low >= 100 * error - 100, "more than all correct answers would be lost"


def test_strategies_without_a_fit_of_their_own_follow_all_layers() -> None:
    gains = expected_gains(LINEAR_AND_TUNED, **HERE)
    assert list(gains) == ["best layer", "smaller input", "tuned above the lowest", "all layers tuned"]
    assert gains["all layers tuned"].points == pytest.approx(8.0)
    assert gains["tuned above the lowest"].points == pytest.approx(8.0)
    assert gains["smaller input"].points == pytest.approx(7.5)
    # 80 % of a normal distribution are within 1.28 deviations of its mean
    assert gains["all layers tuned"].high == pytest.approx(8.0 + 1.2816 * 2, abs=1e-3)
    assert gains["smaller input"].high == pytest.approx(7.5 + 1.2816 * (2**2 + 2.4**2) ** 0.5, abs=1e-3)
    averaged = expected_gains(model(best=0.1, full=0.4, full_views=0.5), **HERE)
    assert averaged["tuned above the lowest, several views"].points == pytest.approx(10.0)
    assert averaged["smaller input, several views"].points == pytest.approx(9.5)
    assert averaged["tuned above the lowest"].points == pytest.approx(8.0)


def test_what_is_measured_of_one_strategy_changes_what_is_expected_of_those_that_vary_with_it() -> None:
    expected = expected_gains(LINEAR_AND_TUNED, **HERE)
    better = expected_gains(LINEAR_AND_TUNED, **HERE, measured={"best layer": Gain(6.0, 5.9, 6.1)})
    assert better["best layer"].points == pytest.approx(6.0, abs=0.01)
    # two points a deviation: four more than expected are half of that for what goes with it by one half
    assert better["all layers tuned"].points == pytest.approx(8.0 + 0.5 * 4.0, abs=0.01)
    assert better["smaller input"].points - better["all layers tuned"].points == pytest.approx(-0.5)
    assert better["all layers tuned"].high - better["all layers tuned"].low < (
        expected["all layers tuned"].high - expected["all layers tuned"].low
    )
    alone = expected_gains(model(correlation=0, best=0.1, full=0.4), **HERE, measured={"best layer": Gain(6, 5.9, 6.1)})
    assert alone["all layers tuned"].points == pytest.approx(8.0)


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


@given(st.floats(-5, 10), st.floats(0.1, 5), st.floats(-5, 10), st.floats(0.1, 5))
def test_what_is_known_of_a_gain_lies_between_forecast_and_measurement_nearer_to_the_more_precise(
    expected: float, half: float, measured: float, measured_half: float
) -> None:
    alone = model(deviation=half / 1.2816 / 50, best=expected / 50)
    seen = {"best layer": Gain(measured, measured - measured_half, measured + measured_half)}
    facts = {"error": 0.5, "effective_per_class": 20.0, "entropy": 1.0}
    known = expected_gains(alone, **facts, measured=seen)["best layer"].points  # type: ignore[arg-type]
    assert min(expected, measured) - 1e-6 <= known <= max(expected, measured) + 1e-6
    if measured_half < half:  # an interval of 95 % that is no wider than one of 80 % is that of the more precise
        assert abs(known - measured) <= abs(known - expected) + 1e-6


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


LAYERS = (*(Tap(f"stage.{i}", i / 5, 8) for i in range(1, 5)), Tap("top", 1, 8))
CARD = BackboneCard("net", "timm", "net", "net", Preprocess(), LAYERS)


@pytest.mark.parametrize(
    ("candidate", "strategy"),
    [
        (Candidate("net", ("top",), Linear()), "last layer"),
        (Candidate("net", ("top",), Linear("svm")), "last layer"),
        (Candidate("net", ("stage.3",), Linear()), "best layer"),
        (Candidate("net", ("stage.3", "top"), Linear()), "best layer"),
        (Candidate("net", ("stage.3",), Linear(), views=8), "several views"),
        (Candidate("net", ("top",), Recipe("stage.3", 5)), "tuned above a cut"),
        (Candidate("net", ("top",), Recipe("stage.1", 5)), "tuned above the lowest"),
        (Candidate("net", ("top",), Recipe(None, 5)), "all layers tuned"),
        (Candidate("net", ("top",), Recipe(None, 5), views=8), "all layers tuned, several views"),
        (Candidate("net", ("top",), Recipe("stage.1", 5, input_px=160)), "smaller input"),
        (Candidate("net", ("top",), Recipe(None, 5, start="random")), "from scratch"),
    ],
)
def test_every_candidate_belongs_to_a_strategy(candidate: Candidate, strategy: str) -> None:
    assert strategy_of(candidate, CARD) == strategy


def test_where_every_candidate_averages_views_that_is_no_strategy_of_its_own() -> None:
    assert strategy_of(Candidate("net", ("stage.3",), Linear(), views=4), CARD, views=4) == "best layer"


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
