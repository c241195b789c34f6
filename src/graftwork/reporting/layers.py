"""The layout of the layers from left to right: shared by the chart and the legend beneath it."""

from __future__ import annotations

from collections.abc import Sequence

from graftwork.core.choose import Verdict
from graftwork.core.plans import linear_of
from graftwork.core.trials import Trial

SERIES = (
    ("accent", "circle"), ("second", "square"), ("good", "triangle"), ("bad", "diamond"),
    ("accent", "square"), ("second", "triangle"), ("good", "diamond"), ("bad", "circle"),
)  # fmt: skip
"""Colour and shape of each classifier."""
DASHES = ("dotted", "dashed", "dotdash")
"""Line of each baseline."""


def linear_series(trials: Sequence[Trial]) -> dict[str, list[int]]:
    """The linear classifiers that were tried, in the order of their trials, each with the positions of its trials."""
    candidates = [(i, t.candidate) for i, t in enumerate(trials) if t.candidate.plan.kind == "linear"]
    linear = [(i, candidate, linear_of(candidate)) for i, candidate in candidates]
    differ = {
        "normalise": len({plan.normalise for _, _, plan in linear}) > 1,
        "pool": len({candidate.pool for _, candidate, _ in linear}) > 1,
        "views": len({candidate.views for _, candidate, _ in linear}) > 1,
        "backbone": len({candidate.backbone for _, candidate, _ in linear}) > 1,
    }
    series: dict[str, list[int]] = {}
    for i, candidate, plan in linear:
        name = "softmax" if plan.loss == "softmax" else "SVM"
        name += f", {plan.normalise}" if differ["normalise"] else ""
        name += f", {candidate.pool} pool" if differ["pool"] else ""
        name += f", {candidate.views} views" if differ["views"] and candidate.views > 1 else ""
        name += f", {candidate.backbone}" if differ["backbone"] else ""
        series.setdefault(name, []).append(i)
    return series


def layer_axis(trials: Sequence[Trial]) -> dict[str, float]:
    """Position from left to right of each layer under a linear classifier: single layers in the order they were
    tried, which is by depth, then several together.
    """
    linear = [t.candidate for t in trials if t.candidate.plan.kind == "linear"]
    tried = {candidate.layer: len(candidate.taps) for candidate in linear}
    single = [name for name, taps in tried.items() if taps == 1]
    several = [name for name, taps in tried.items() if taps > 1]
    gap = 0.4 if single else 0.0
    return {name: i + (gap if i >= len(single) else 0.0) for i, name in enumerate([*single, *several])}


def score_range(verdict: Verdict, shown: Sequence[int]) -> tuple[float, float]:
    """Scores that a chart shows: every interval of these candidates, and the baselines that are not far away."""
    spans = [verdict.rows[i].span for i in shown]
    low, high = min(low for low, _ in spans), max(high for _, high in spans)
    reach = 0.6 * (high - low) + 0.02
    near = [r.score for r in verdict.baselines if low - reach < r.score < high + reach]
    low, high = min([low, *near]), max([high, *near])
    pad = 0.05 * (high - low) + 0.001
    top = high + pad if verdict.metric == "log-loss" else min(high + pad, 1.0)
    return max(low - pad, 0.0), top
