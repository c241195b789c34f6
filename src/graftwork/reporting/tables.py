"""The rows of the report's tables, ready to be laid out: figures from the record and from ``core``, as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graftwork.core import figures
from graftwork.core.choose import Row, Verdict
from graftwork.core.facts import BackboneCard, Metric
from graftwork.core.metrics import confusion
from graftwork.core.plans import cost_to_use
from graftwork.core.record import Run
from graftwork.core.stats import Share, recall_and_precision
from graftwork.core.trials import Trial
from graftwork.reporting import words
from graftwork.reporting.colours import class_colour, marker_of
from graftwork.reporting.evidence import scored
from graftwork.reporting.layers import DASHES, SERIES, score_range
from graftwork.reporting.tunings import on_fewer


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell that sorts by something else than its text."""

    text: str
    value: float


@dataclasses.dataclass(frozen=True)
class Strip:
    """A score on the scale at the head of the page."""

    name: str
    text: str
    interval: str
    at: float
    """Position on the scale, as low and high: 0 is its left end, 1 its right end."""
    low: float
    high: float
    leads: bool


def strips(run: Run) -> list[Strip]:
    """The test score, the chosen candidate's validation score and the baselines on one scale."""
    metric, judgement = run.verdict.metric, run.verdict
    rows = [judgement.rows[judgement.chosen], *judgement.baselines]
    names = [f"chosen ({words.SELECTED})", *(row.label for row in judgement.baselines)]
    if run.test is not None:
        result = run.test.score
        rows = [Row("test", result.value, result.low, result.high, 0, 0, 0, beaten=False), *rows]
        names = ["test", *names]
    top = 1.05 * max(row.span[1] for row in rows) if metric == "log-loss" else 1.0
    first, *others = [_strip(row, name, metric, top) for row, name in zip(rows, names, strict=True)]
    return [dataclasses.replace(first, leads=True), *others]


def _strip(row: Row, name: str, metric: Metric, top: float) -> Strip:
    at, low, high = (min(max(x / top, 0.0), 1.0) for x in (row.score, *row.span))
    text, interval = words.figure(metric, row.score), figures.interval(metric, row.low, row.high)
    return Strip(name, text, interval, at, low, high, leads=False)


def best_of_each_kind(verdict: Verdict, trials: Sequence[Trial]) -> list[int]:
    """Return the positions of the best candidate of each kind, in the order in which they were tried.

    A kind is a linear classifier on one layer, on several, or on averaged views, a network tuned in part, in whole, or
    from scratch.
    """
    best: dict[tuple[str, bool, bool], int] = {}
    for j, trial in enumerate(trials):
        candidate = trial.candidate
        kind = candidate.plan.kind, len(candidate.taps) > 1, candidate.views > 1
        before = best.get(kind, j)
        best[kind] = min(before, j, key=lambda i: (trials[i].ended != "completed", verdict.rows[i].deficit))
    return sorted({*best.values(), verdict.chosen, verdict.best})


def candidate_rows(
    verdict: Verdict, trials: Sequence[Trial], cards: Sequence[BackboneCard]
) -> list[dict[str, Cell | str | bool]]:
    """Every candidate, the best score first, after them those judged on fewer images; then the baselines.

    Only the best of each kind is shown unasked; the others are ``folded``.
    """
    order = sorted(range(len(trials)), key=lambda i: (on_fewer(verdict, trials, i), verdict.rows[i].deficit))
    best = best_of_each_kind(verdict, trials)
    rows = [{**_candidate_row(verdict, trials, cards, i), "folded": i not in best} for i in order]
    empty = Cell("", -1)
    for row in sorted(verdict.baselines, key=lambda r: r.deficit):
        rows.append({**_score_cells(verdict, row), "c": empty, "seconds": empty, "use": empty, "on": "",
                     "outcome": "a baseline", "chosen": False, "baseline": True, "folded": False})  # fmt: skip
    return rows


def _candidate_row(
    verdict: Verdict, trials: Sequence[Trial], cards: Sequence[BackboneCard], position: int
) -> dict[str, Cell | str | bool]:
    trial = trials[position]
    c = trial.details.get("C")
    times = cost_to_use(trial.candidate, cards) / cost_to_use(trials[verdict.chosen].candidate, cards)
    return {
        **_score_cells(verdict, verdict.rows[position]),
        "c": Cell("" if c is None else f"{c:.2g}", -1.0 if c is None else c),
        "seconds": Cell(f"{trial.fit_seconds:.1f}" if trial.fit_seconds >= 0.05 else "<0.1", trial.fit_seconds),
        "use": Cell(f"× {times:.2g}", times),
        "on": f"on {trial.run.sum():,} images" if on_fewer(verdict, trials, position) else "",
        "outcome": words.outcome(verdict, trials, position),
        "chosen": position == verdict.chosen,
        "baseline": False,
    }


def _score_cells(verdict: Verdict, row: Row) -> dict[str, Cell | str | bool]:
    metric = verdict.metric
    low, high = figures.difference(metric, row.deficit_low), figures.difference(metric, row.deficit_high)
    behind = (
        "best" if row is verdict.rows[verdict.best] else f"{figures.difference(metric, row.deficit)} ({low} to {high})"
    )
    return {
        "label": words.one_line(row.label),
        "score": Cell(figures.number(metric, row.score), row.score),
        "interval": figures.interval(metric, row.low, row.high),
        "deficit": Cell(behind, row.deficit),
    }


def class_rows(run: Run) -> list[dict[str, Cell | str]]:
    """Each class with its images by part, and its recall and precision, the lowest recall first."""
    images = scored(run)
    groups = np.asarray(run.images.groups)[images.rows]
    recall, precision = recall_and_precision(images.y, images.predicted, groups, len(run.classes))
    label, part = np.array(run.images.labels), np.array(run.images.parts)
    rows: list[dict[str, Cell | str]] = []
    for c, name in enumerate(run.classes):
        parts = part[label == name]
        counts = {p: int((parts == key).sum()) for p, key in PARTS.items()}
        rows.append(
            {"name": words.one_line(name)}
            | {p: Cell(f"{n:,}", n) for p, n in counts.items()}
            | {"recall": _share(recall[c]), "recall_interval": _span(recall[c])}
            | {"precision": _share(precision[c]), "precision_interval": _span(precision[c])}
            | {"recall_count": f"{recall[c].hits} of {recall[c].of}"}
            | {"precision_count": f"{precision[c].hits} of {precision[c].of}"}
        )
    return sorted(rows, key=lambda row: row["recall"].value if isinstance(row["recall"], Cell) else 0.0)


PARTS = {"develop": "develop", "test": "test", "left_out": "left out"}


def _share(share: Share) -> Cell:
    return Cell("–", 2.0) if share.value is None else Cell(figures.percent(share.value), share.value)


def _span(share: Share) -> str:
    return "" if share.value is None else figures.interval("accuracy", share.low, share.high)


def part_totals(run: Run) -> dict[str, int]:
    """Images in each part that has any."""
    part = np.array(run.images.parts)
    totals = {name: int((part == key).sum()) for name, key in PARTS.items()}
    return {name: n for name, n in totals.items() if n}


def frequent_confusions(run: Run, limit: int = 8) -> list[tuple[str, str, int, int]]:
    """The most frequent mistakes: true class, predicted class, images, images of the true class."""
    images, k = scored(run), len(run.classes)
    counts = confusion(images.y, images.predicted, k)
    size = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(cell), k) for cell in order]
    names = [words.one_line(name) for name in run.classes]
    return [(names[t], names[p], int(counts[t, p]), int(size[t])) for t, p in pairs if counts[t, p]]


def series_legend(names: Iterable[str]) -> list[dict[str, str]]:
    """What the marks of a chart mean, in the order in which its series were drawn."""
    return [
        {"name": words.one_line(name), "token": token, "marker": marker}
        for name, (token, marker) in zip(names, SERIES, strict=False)
    ]


def scores_legend(verdict: Verdict, series: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """What the marks and lines of a chart of scores mean; ``series`` holds the positions of its trials by name."""
    shown = [i for mine in series.values() for i in mine]
    low, high = score_range(verdict, shown)
    lines = []
    for dash, row in zip(DASHES, verdict.baselines, strict=False):
        where = "" if low <= row.score <= high else ", below the chart" if row.score < low else ", above the chart"
        lines.append({"name": row.label, "dash": dash, "text": words.figure(verdict.metric, row.score) + where})
    return {"series": series_legend(series), "chosen": verdict.chosen in shown, "lines": lines}


def class_legend(run: Run) -> list[dict[str, str | int]]:
    """Classes with their colour and shape in the projection."""
    return [
        {"index": c, "name": words.one_line(name), "colour": class_colour(c), "marker": marker_of(c)}
        for c, name in enumerate(run.classes)
    ]
