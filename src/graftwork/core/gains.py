"""What strategies gain over a linear classifier on the last layer: a forecast, and how a measurement changes it.

Records and pure functions: no clock, no file, no network. The coefficients, fitted to ``benchmarks/strategies.py``,
come with the package (``advice/sources.py``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from statistics import NormalDist
from types import MappingProxyType
from typing import Literal, cast

import numpy as np

from graftwork.core.arrays import Floats
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Candidate, Linear, Recipe
from graftwork.core.recipes import cut_layers


@dataclasses.dataclass(frozen=True)
class Gain:
    """A gain in points, with the ends of its interval: of 80 % for a forecast, of 95 % for a measurement."""

    points: float
    low: float
    high: float

    @property
    def in_words(self) -> str:
        """Such as ``+3.1 points (0.6 to 5.6)``."""
        return f"{self.points:+.1f} points ({self.ends})".replace("-", "−")

    @property
    def ends(self) -> str:
        """Such as ``0.6 to 5.6``."""
        return f"{self.low:.1f} to {self.high:.1f}".replace("-", "−")


Strategy = Literal[
    "last layer", "best layer", "several views",
    "tuned above a cut", "tuned above the lowest", "all layers tuned", "smaller input", "from scratch",
    "tuned above a cut, several views", "tuned above the lowest, several views", "all layers tuned, several views",
    "smaller input, several views", "from scratch, several views",
]  # fmt: skip
_SEVERAL_VIEWS = ", several views"


def averaged(strategy: Strategy) -> Strategy:
    """Return a fine-tuning with its probabilities averaged over several views of an image."""
    return cast(Strategy, training_of_strategy(strategy) + _SEVERAL_VIEWS)


def training_of_strategy(strategy: Strategy) -> Strategy:
    """Return the strategy of one view that is trained in the same way; itself where it is one."""
    return cast(Strategy, strategy.removesuffix(_SEVERAL_VIEWS))


def strategy_of(candidate: Candidate, card: BackboneCard, *, views: int = 1) -> Strategy:
    """Return the strategy that a candidate on the network of a card belongs to.

    Parameters
    ----------
    views
        Number of views that every linear classifier of the search averages.
    """
    plan = candidate.plan
    if isinstance(plan, Linear):
        if candidate.views > views:
            return "several views"
        return "last layer" if candidate.taps == (card.taps[-1].name,) else "best layer"
    training = _tuned(plan, card)
    return averaged(training) if candidate.views > 1 else training


def _tuned(plan: Recipe, card: BackboneCard) -> Strategy:
    if plan.kind == "scratch":
        return "from scratch"
    if plan.input_px is not None:
        return "smaller input"
    if plan.freeze_to is None:
        return "all layers tuned"
    _, lowest = cut_layers(card)
    return "tuned above the lowest" if plan.freeze_to == lowest else "tuned above a cut"


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """How the share of the last layer's errors that a strategy removes depends on the data."""

    constant: float
    by_entropy: float
    """Per doubling of the entropy."""
    by_size: float
    """Per doubling of the independent images a class."""
    by_error: float
    """Per unit of the share that the last layer misclassifies."""


@dataclasses.dataclass(frozen=True, eq=False)
class GainModel:
    """The shares of the last layer's errors that strategies remove: jointly normal around functions of the data."""

    coefficients: Mapping[Strategy, Coefficients]
    """Of the strategies that were fitted, by the cost that they usually have."""
    covariance: Floats
    """(s, s) of the shares of these strategies around what the coefficients say: where data gain more from one of them
    than the others did, they mostly gain more from all."""


@dataclasses.dataclass(frozen=True)
class Follower:
    """What a strategy gains over another one that its forecast follows, in points."""

    points: float
    deviation: float
    """Standard deviation over data sets."""


OVER_ALL_LAYERS: Mapping[Strategy, Follower] = {
    "smaller input": Follower(-0.5, 2.4), "tuned above the lowest": Follower(0.0, 1.1),
}  # fmt: skip
"""Strategies whose forecast follows that of tuning all layers: measured at 224 px on seven sets
(``benchmarks/schedules.py``), where they pay; at the 96 px of the table of strategies they do not."""
SHARED_NOISE = 0.5
"""Correlation of the errors of two measured gains: both are over the same last layer, which was measured, too."""
_NONE_MEASURED: Mapping[Strategy, Gain] = MappingProxyType({})


def expected_gains(
    model: GainModel,
    *,
    error: float,
    effective_per_class: float,
    entropy: float,
    measured: Mapping[Strategy, Gain] = _NONE_MEASURED,
) -> dict[Strategy, Gain]:
    """Forecast what every strategy gains over a linear classifier on the last layer, by the cost they usually have.

    What was measured of some strategies changes what is expected of all: the forecast is the conditional distribution
    of a normal one, so that a measurement counts by its precision, and a strategy's own the most.

    Parameters
    ----------
    error
        Share that the linear classifier on the last layer misclassifies, in cross-validation.
    effective_per_class
        Independent images a class.
    entropy
        Mean entropy of the source classifier, in nats.
    measured
        Gains in cross-validation, with their 95 % intervals.

    Returns
    -------
    Gains in points with 80 % intervals; none is larger than there are errors, none a larger loss than correct answers.
    """
    facts = np.array([1.0, math.log2(max(entropy, 1e-3)), math.log2(max(effective_per_class, 1.0)), error])
    shares = np.array([dataclasses.astuple(each) for each in model.coefficients.values()]) @ facts
    most = 100 * error
    names, of, points, deviations = _with_followers(model)
    mean = most * of @ shares + points
    covariance = most**2 * of @ model.covariance @ of.T + np.diag(deviations**2)
    known = [i for i, name in enumerate(names) if name in measured]
    if known:
        gains = [measured[names[i]] for i in known]
        noise = np.array([_deviation(gain, 0.95) for gain in gains])
        shared = SHARED_NOISE * np.outer(noise, noise) + np.diag((1 - SHARED_NOISE) * noise**2)
        weights = np.linalg.solve(covariance[np.ix_(known, known)] + shared, covariance[known]).T
        mean = mean + weights @ (np.array([gain.points for gain in gains]) - mean[known])
        covariance = covariance - weights @ covariance[known]
    half = NormalDist().inv_cdf(0.9) * np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return {
        name: Gain(*(min(max(float(end), most - 100), most) for end in (at, at - width, at + width)))
        for name, at, width in zip(names, mean, half, strict=True)
    }


def _with_followers(model: GainModel) -> tuple[list[Strategy], Floats, Floats, Floats]:
    """Names of all strategies; (n, s) the fitted one that each is or follows; (n,) points over it, and deviations."""
    names: list[Strategy] = []
    rows: list[tuple[int, Follower]] = []
    for position, strategy in enumerate(model.coefficients):
        if training_of_strategy(strategy) == "all layers tuned":
            for follower, over in OVER_ALL_LAYERS.items():
                names.append(follower if strategy == "all layers tuned" else averaged(follower))
                rows.append((position, over))
        names.append(strategy)
        rows.append((position, Follower(0.0, 0.0)))
    of = np.eye(len(model.coefficients))[[position for position, _ in rows]]
    return names, of, np.array([over.points for _, over in rows]), np.array([over.deviation for _, over in rows])


def _deviation(gain: Gain, coverage: float) -> float:
    """Standard deviation of a normal distribution whose interval of that coverage is as wide."""
    return max((gain.high - gain.low) / (2 * NormalDist().inv_cdf((1 + coverage) / 2)), 1e-3)
