"""How the layers are laid out beside each other: shared by the chart and the legend beneath it."""

from __future__ import annotations

from collections.abc import Sequence

from graftwork.core.choose import Verdict
from graftwork.core.plans import NOTHING_FROZEN, Linear, Recipe
from graftwork.core.trials import Trial

SERIES = (
    ("accent", "circle"), ("second", "square"), ("good", "triangle"), ("bad", "diamond"),
    ("accent", "square"), ("second", "triangle"), ("good", "diamond"), ("bad", "circle"),
)  # fmt: skip
"""Colour and shape of each classifier."""
DASHES = ("dotted", "dashed", "dotdash")
"""Line of each cheap row."""


def layer_axis(trials: Sequence[Trial]) -> dict[str, float]:
    """Where each layer stands from left to right: single layers in the order they were tried, which is by depth,
    then several together.
    """
    tried = {t.candidate.layer: len(t.candidate.taps) for t in trials}
    input_first = [name for name in tried if name == NOTHING_FROZEN]
    single = input_first + [name for name, taps in tried.items() if taps == 1 and name != NOTHING_FROZEN]
    several = [name for name, taps in tried.items() if taps > 1]
    gap = 0.4 if single else 0.0
    return {name: i + (gap if i >= len(single) else 0.0) for i, name in enumerate([*single, *several])}


def series_names(trials: Sequence[Trial]) -> list[str]:
    """The classifiers that were tried, in the order of their trials; one series each."""
    return list(dict.fromkeys(series_of(trials, i) for i in range(len(trials))))


def series_of(trials: Sequence[Trial], position: int) -> str:
    """The classifier of one trial, with what tells it from others of the same kind."""
    candidate = trials[position].candidate
    plan = candidate.plan
    if isinstance(plan, Recipe):
        if plan.start == "random":
            return "from scratch"
        return "tuned above" if plan.keep == 1 else f"tuned above, {plan.keep:g} of the way"
    linear = [(t.candidate, t.candidate.plan) for t in trials if isinstance(t.candidate.plan, Linear)]
    name = "softmax" if plan.loss == "softmax" else "SVM"
    if len({other.normalise for _, other in linear}) > 1:
        name += f", {plan.normalise}"
    if len({c.pool for c, _ in linear}) > 1:
        name += f", {candidate.pool} pool"
    if len({c.views for c, _ in linear}) > 1 and candidate.views > 1:
        name += f", {candidate.views} views"
    return name


def layer_range(verdict: Verdict) -> tuple[float, float]:
    """Scores shown: every candidate's interval, and the cheap rows that are not far away."""
    low, high = min(r.low for r in verdict.rows), max(r.high for r in verdict.rows)
    reach = 0.6 * (high - low) + 0.02
    near = [r.score for r in verdict.baselines if low - reach < r.score < high + reach]
    low, high = min([low, *near]), max([high, *near])
    pad = 0.05 * (high - low) + 0.001
    top = high + pad if verdict.metric == "log-loss" else min(high + pad, 1.0)
    return max(low - pad, 0.0), top
