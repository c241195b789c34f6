"""A run as one HTML file that needs no network, no data and no torch; what may run in it is named by hash."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftwork.core.metrics import calibration, calibration_by_chance
from graftwork.core.record import Run
from graftwork.files import write_text
from graftwork.report import evidence, tables, words
from graftwork.report.colours import light_to_dark, stylesheet

if TYPE_CHECKING:
    from bokeh.models.ui import UIElement

REPORT = "report.html"
THUMBNAILS_MB = 2.0
"""Thumbnails embedded, in megabytes of text; one that also stands on the map counts twice."""
_KINDS = {".jpg": "image/jpeg", ".png": "image/png"}
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


def images_to_show(run: Run) -> evidence.Ints:
    """Rows of the image table that the report wants as ``thumbnails/DIGEST.jpg``, 96 px, the most wanted first."""
    return evidence.images_to_show(run)


def render(run: Run, thumbnails: Path | None) -> str:
    """Return the report of a run as one HTML page.

    Parameters
    ----------
    thumbnails
        Folder with ``DIGEST.jpg`` or ``DIGEST.png`` of images; those that are missing are left out.
    """
    import jinja2
    from bokeh.embed import json_item
    from bokeh.resources import Resources
    from markupsafe import Markup

    pictures = embedded_thumbnails(run, thumbnails)
    bokeh = Resources(mode="inline", components=["bokeh"]).js_raw[0].strip()
    scripts = [bokeh, _packaged("page.js").strip()]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.policies["json.dumps_kwargs"] = {}  # unsorted: bokeh reads a model before the references to it
    environment.filters["one_line"] = words.one_line
    page = environment.from_string(_packaged("page.html.jinja")).render(
        **_sections(run),
        run=run,
        words=words,
        pictures=pictures,
        charts={name: json_item(chart) for name, chart in _charts(run, pictures).items()},
        dark=light_to_dark(),
        style=Markup(stylesheet() + _packaged("page.css")),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # a file's name may hold bytes that are no text


def embedded_thumbnails(run: Run, folder: Path | None) -> dict[int, str]:
    """Data URIs of the thumbnails that exist, by row of the image table, as many as the page has room for."""
    if folder is None:
        return {}
    room = THUMBNAILS_MB * 1e6
    mapped = set(evidence.on_map(run).tolist())
    found: dict[int, str] = {}
    for row in evidence.images_to_show(run).tolist():
        uri = _data_uri(folder, run.images.digests[row])
        room -= len(uri) * (2 if row in mapped else 1)
        if room < 0:
            break
        if uri:
            found[row] = uri
    return found


def _data_uri(folder: Path, digest: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8,128}", digest):  # a record is read from a file: it names no other place
        return ""
    for suffix, kind in _KINDS.items():
        path = folder / f"{digest}{suffix}"
        if path.is_file():
            return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return ""


def _packaged(name: str) -> str:
    return (importlib.resources.files("graftwork.report") / name).read_text(encoding="utf-8")


def _policy(scripts: list[str]) -> str:
    """The page may run these scripts and show what it holds; bokeh sets styles of its own."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{h}'" for h in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _charts(run: Run, pictures: dict[int, str]) -> dict[str, UIElement]:
    from graftwork.report import charts

    drawn: dict[str, Callable[[], UIElement]] = {
        "layers": lambda: charts.layer_chart(run),
        "confusion": lambda: charts.confusion_chart(run),
        "calibration": lambda: charts.calibration_chart(run),
        "seconds": lambda: charts.seconds_chart(run),
    }
    if run.codes_map is not None:
        drawn["map"] = lambda: charts.map_chart(run, pictures)
    return {name: draw() for name, draw in drawn.items()}


def _sections(run: Run) -> dict[str, Any]:
    doubts, doubts_in_all = evidence.doubts(run)
    findings = sorted(run.findings, key=lambda f: _SEVERITIES.index(f.severity))
    return {
        "headline": words.headline(run),
        "strips": tables.strips(run),
        "findings": [(f, evidence.example_rows(run, f)) for f in findings],
        "totals": tables.part_totals(run),
        "candidates": tables.candidate_rows(run),
        "layers": tables.layer_legend(run),
        "classes": tables.class_rows(run),
        "confusions": tables.frequent_confusions(run),
        "mistakes": evidence.mistakes(run),
        "hits": evidence.least_sure_hits(run),
        "doubts": doubts,
        "doubts_in_all": doubts_in_all,
        "judged": evidence.judged(run),
        "calibration": _calibration(run),
        "legend": tables.class_legend(run),
        "split_digest": evidence.split_digest(run),
    }


def _calibration(run: Run) -> dict[str, Any]:
    images = evidence.judged(run)
    before = evidence.before_temperature(run)
    return {
        "after": calibration(images.y, images.probabilities),
        "before": before,
        "by_chance": calibration_by_chance(images.probabilities, seed=run.seed),
    }
