"""The model card: what a stranger must know before using the model, as the README of its folder."""

from __future__ import annotations

import re

from graftwork.core.metrics import calibration
from graftwork.core.record import Run
from graftwork.reporting import evidence, tables, words
from graftwork.reporting.shareable import shareable

LISTED_CLASSES = 50
"""Maximum number of classes that are listed one by one."""


def model_card(run: Run) -> str:
    """Return Markdown for ``README.md`` of a model folder; every figure in it comes from the run's record."""
    import jinja2

    run = shareable(run)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("graftwork", "reporting"),
        autoescape=False,  # it is Markdown: what comes from the user's files is escaped by ``md``
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = escaped
    environment.filters["capital"] = words.capital
    environment.globals["words"] = words
    scored = evidence.scored(run)
    page = environment.get_template("card.md.jinja").render(
        run=run,
        chosen=words.chosen(run),
        tuned=words.chosen(run).candidate.plan.kind != "linear",
        headline=words.headline(run),
        warnings=[f for f in run.findings if f.severity != "note"],
        classes=tables.class_rows(run) if len(run.classes) <= LISTED_CLASSES else [],
        totals=tables.part_totals(run),
        scored=scored,
        ece=calibration(scored.y, scored.probabilities).expected_error,
        refitted=run.settings["final"] == "all",
        split_digest=evidence.split_digest(run),
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # a file's name may hold bytes that are no text


def escaped(text: object) -> str:
    """A text on one line in which Markdown and HTML mean nothing."""
    return re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", words.one_line(str(text)))
