"""The forecast never promises more than there are errors, and a measurement of one strategy tells about the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.core.facts import BackboneCard, Preprocess, Tap
from graftwork.core.gains import Coefficients, Gain, GainModel, expected_gains, strategy_of
from graftwork.core.plans import Candidate, Linear, Recipe


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
