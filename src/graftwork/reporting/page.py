"""A run as one HTML page that needs no network, no data and no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftwork.core.choose import Verdict
from graftwork.core.metrics import Calibration, calibration, calibration_by_chance
from graftwork.core.record import Run
from graftwork.core.trials import Trial
from graftwork.files import write_text
from graftwork.reporting import evidence, tables, words
from graftwork.reporting.card import model_card
from graftwork.reporting.document import document
from graftwork.reporting.evidence import images_to_show
from graftwork.reporting.thumbnails import embedded_thumbnails

if TYPE_CHECKING:
    from bokeh.models.ui import UIElement

__all__ = ["images_to_show", "model_card", "render", "write_layer_plot", "write_report"]

REPORT = "report.html"
_SEVERITIES = ("error", "warning", "note")


def write_report(run: Run, folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, whole or not at all, with the thumbnails that lie there.

    Raises
    ------
    StorageError
        When the folder cannot be written to.
    """
    path = folder / REPORT
    write_text(path, render(run, folder / "thumbnails"))
    return path


def render(run: Run, thumbnails: Path | None) -> str:
    """Return the report of a run as one HTML page.

    Parameters
    ----------
    thumbnails
        Folder with ``DIGEST.jpg`` or ``DIGEST.png`` of images; those that are missing are left out.
    """
    pictures = embedded_thumbnails(run, thumbnails)
    return document("page.html.jinja", _charts(run, pictures), run=run, pictures=pictures, **_sections(run))


def write_layer_plot(verdict: Verdict, trials: Sequence[Trial], path: Path) -> Path:
    """Write the accuracy of every layer as a page of its own, whole or not at all.

    Raises
    ------
    StorageError
        When ``path`` cannot be written to.
    """
    from graftwork.reporting.charts import layer_chart

    chart = {"layers": layer_chart(verdict, trials)}
    write_text(path, document("plot.html.jinja", chart, **_layers(verdict, trials)))
    return path


def _charts(run: Run, pictures: dict[int, str]) -> dict[str, UIElement]:
    from graftwork.reporting import charts

    drawn = {
        "layers": charts.layer_chart(run.verdict, run.trials),
        "confusion": charts.confusion_chart(run),
        "calibration": charts.calibration_chart(run),
        "seconds": charts.seconds_chart(run.stage_seconds),
    }
    if run.codes_map is not None:
        drawn["map"] = charts.map_chart(run, run.codes_map, pictures)
    return drawn


def _layers(verdict: Verdict, trials: Sequence[Trial]) -> dict[str, Any]:
    return {
        "metric": verdict.metric,
        "images": len(trials[0].probabilities),
        "candidates": tables.candidate_rows(verdict, trials),
        "layers": tables.layer_legend(verdict, trials),
    }


def _sections(run: Run) -> dict[str, Any]:
    doubts, doubts_in_all = evidence.doubts(run)
    judged = evidence.judged(run)
    findings = sorted(run.findings, key=lambda f: _SEVERITIES.index(f.severity))
    return {
        **_layers(run.verdict, run.trials),
        "headline": words.headline(run),
        "strips": tables.strips(run),
        "findings": [(f, evidence.example_rows(run, f)) for f in findings],
        "totals": tables.part_totals(run),
        "classes": tables.class_rows(run),
        "confusions": tables.frequent_confusions(run),
        "judged": judged,
        "mistakes": evidence.mistakes(run),
        "hits": evidence.least_sure_hits(run),
        "doubts": doubts,
        "doubts_in_all": doubts_in_all,
        "legend": tables.class_legend(run),
        "ece": calibration(judged.y, judged.probabilities).expected_error,
        "ece_before": _expected_error(evidence.before_temperature(run)),
        "ece_by_chance": calibration_by_chance(judged.probabilities, seed=run.seed),
        "split_digest": evidence.split_digest(run),
    }


def _expected_error(measured: Calibration | None) -> float | None:
    return None if measured is None else measured.expected_error
