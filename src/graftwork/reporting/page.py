"""A run as one HTML page that needs no network, no data and no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftwork.core.choose import Verdict
from graftwork.core.facts import BackboneCard
from graftwork.core.metrics import Calibration, calibration, calibration_by_chance
from graftwork.core.record import Run
from graftwork.core.trials import Trial
from graftwork.files import write_text
from graftwork.reporting import advice, evidence, tables, words
from graftwork.reporting.card import model_card
from graftwork.reporting.document import document
from graftwork.reporting.evidence import images_to_show
from graftwork.reporting.layers import linear_series
from graftwork.reporting.shareable import shareable
from graftwork.reporting.thumbnails import embedded_evidence, embedded_thumbnails
from graftwork.reporting.tunings import cut_lines, on_fewer, trainings

if TYPE_CHECKING:
    from bokeh.models.ui import UIElement

__all__ = ["images_to_show", "model_card", "render", "write_layer_plot", "write_report"]

REPORT = "report.html"
_SEVERITIES = ("error", "warning", "note")


def write_report(run: Run, folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, whole or not at all, with the thumbnails that are there.

    Raises
    ------
    StorageError
        When the folder cannot be written to.
    """
    path = folder / REPORT
    write_text(path, render(run, folder / "thumbnails"))
    return path


def render(run: Run, thumbnails: Path | None) -> str:
    """Return the report of a run as one HTML page; it names no folder of the machine that it was made on.

    Parameters
    ----------
    thumbnails
        Folder with ``DIGEST.jpg`` or ``DIGEST.png`` of images; those that are missing are left out.
    """
    run = shareable(run)
    pictures = embedded_thumbnails(run, thumbnails)
    maps = embedded_evidence(run, thumbnails)
    return document("page.html.jinja", _charts(run, pictures), run=run, pictures=pictures, maps=maps, **_sections(run))


def write_layer_plot(verdict: Verdict, trials: Sequence[Trial], card: BackboneCard, path: Path) -> Path:
    """Write the accuracy of every layer as a page of its own, whole or not at all.

    Raises
    ------
    StorageError
        When ``path`` cannot be written to.
    """
    drawn = _candidate_charts(verdict, trials, [card])
    write_text(path, document("plot.html.jinja", drawn, **_layers(verdict, trials, [card])))
    return path


def _candidate_charts(verdict: Verdict, trials: Sequence[Trial], cards: Sequence[BackboneCard]) -> dict[str, UIElement]:
    from graftwork.reporting import charts

    drawn = {"layers": charts.layer_chart(verdict, trials)}
    if cuts := cut_lines(verdict, trials, cards):
        drawn["cuts"] = charts.cut_chart(verdict, trials, cuts)
    if curves := trainings(trials):
        drawn["learning"] = charts.learning_chart(curves)
    return drawn


def _charts(run: Run, pictures: dict[int, str]) -> dict[str, UIElement]:
    from graftwork.reporting import charts

    drawn = {
        **_candidate_charts(run.verdict, run.trials, run.cards),
        "confusion": charts.confusion_chart(run),
        "calibration": charts.calibration_chart(run),
        "seconds": charts.seconds_chart(run.stage_seconds),
    }
    if run.advice is not None:
        from graftwork.reporting import advice_charts

        drawn["situation"] = advice_charts.situation_chart(run.advice)
        drawn["curve"] = advice_charts.curve_chart(run.advice)
    if run.projection is not None:
        drawn["projection"] = charts.projection_chart(run, run.projection, pictures)
    return drawn


def _layers(verdict: Verdict, trials: Sequence[Trial], cards: Sequence[BackboneCard]) -> dict[str, Any]:
    cuts = {name: [i for _, i in points] for name, points in cut_lines(verdict, trials, cards).items()}
    return {
        "metric": verdict.metric,
        "images": verdict.images or len(trials[0].probabilities),
        "candidates": tables.candidate_rows(verdict, trials, cards),
        "alternatives": words.alternatives(verdict, trials),
        "cached_augmentations": words.cached_augmentations([trial.candidate for trial in trials]),
        "layers": tables.scores_legend(verdict, linear_series(trials)),
        "cuts": tables.scores_legend(verdict, cuts) if cuts else None,
        "curves": tables.series_legend(trainings(trials)),
        "on_fewer": any(on_fewer(verdict, trials, i) for i in range(len(trials))),
    }


def _sections(run: Run) -> dict[str, Any]:
    label_errors, n_label_errors = evidence.possible_label_errors(run)
    scored = evidence.scored(run)
    findings = sorted(run.findings, key=lambda f: _SEVERITIES.index(f.severity))
    return {
        **_layers(run.verdict, run.trials, run.cards),
        "headline": words.headline(run),
        "advising": advice,
        "strips": tables.strips(run),
        "findings": [(f, evidence.example_rows(run, f)) for f in findings],
        "totals": tables.part_totals(run),
        "classes": tables.class_rows(run),
        "confusions": tables.frequent_confusions(run),
        "scored": scored,
        "mistakes": evidence.mistakes(run),
        "hits": evidence.least_confident_hits(run),
        "label_errors": label_errors,
        "n_label_errors": n_label_errors,
        "legend": tables.class_legend(run),
        "ece": calibration(scored.y, scored.probabilities).expected_error,
        "ece_before": _expected_error(evidence.before_temperature(run)),
        "ece_by_chance": calibration_by_chance(scored.probabilities, seed=run.seed),
        "split_digest": evidence.split_digest(run),
    }


def _expected_error(measured: Calibration | None) -> float | None:
    return None if measured is None else measured.expected_error
