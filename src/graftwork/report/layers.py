"""How the layers are laid out beside each other: shared by the chart and the legend beneath it."""

from __future__ import annotations

from graftwork.core.record import Run

SERIES = (
    ("accent", "circle"), ("second", "square"), ("good", "triangle"), ("bad", "diamond"),
    ("accent", "square"), ("second", "triangle"), ("good", "diamond"), ("bad", "circle"),
)  # fmt: skip
"""Colour and shape of each classifier."""
DASHES = ("dotted", "dashed", "dotdash")
"""Line of each cheap row."""


def layer_axis(run: Run) -> dict[str, float]:
    """Where each layer stands from left to right: single layers by depth, then several together."""
    depth = {tap.name: tap.depth for tap in run.card.taps}
    tried = {t.candidate.layer: t.candidate.taps for t in run.trials}
    single = sorted((n for n, taps in tried.items() if len(taps) == 1), key=lambda n: depth.get(n, 1.0))
    several = [name for name, taps in tried.items() if len(taps) > 1]
    return {name: i + (0.5 if i >= len(single) else 0.0) for i, name in enumerate([*single, *several])}


def series_names(run: Run) -> list[str]:
    """The classifiers that were tried, in the order of their trials; one series each."""
    return list(dict.fromkeys(series_of(run, i) for i in range(len(run.trials))))


def series_of(run: Run, position: int) -> str:
    """The classifier of one trial, with what tells it from others of the same kind."""
    candidate = run.trials[position].candidate
    others = [t.candidate for t in run.trials]
    name = "softmax" if candidate.plan.loss == "softmax" else "SVM"
    if len({c.plan.normalise for c in others}) > 1:
        name += f", {candidate.plan.normalise}"
    if len({c.pool for c in others}) > 1:
        name += f", {candidate.pool} pool"
    return name


def layer_range(run: Run) -> tuple[float, float]:
    """Scores shown: every candidate's interval, and the cheap rows that are not far away."""
    rows = run.verdict.rows
    low, high = min(r.low for r in rows), max(r.high for r in rows)
    reach = 0.6 * (high - low) + 0.02
    near = [r.score for r in run.verdict.baselines if low - reach < r.score < high + reach]
    low, high = min([low, *near]), max([high, *near])
    pad = 0.05 * (high - low)
    if run.verdict.metric == "log-loss":
        return max(low - pad, 0.0), high + pad
    return max(low - pad, 0.0), min(high + pad, 1.0)
