"""What a training answers, as people read it in a terminal: the answer first, then how it came about."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console

from graftwork.cli.show import print_plain, show_findings, verdict_table
from graftwork.core.figures import figure, interval_in_words
from graftwork.core.record import Run
from graftwork.core.shown import one_line
from graftwork.reporting import tables, words
from graftwork.reporting.evidence import scored

WEAK_POINTS = 5.0
"""A class whose recall is this far below the accuracy is named as weak."""
_WEAK_CLASSES = 3


def show_run(run: Run, *, all_rows: bool = False) -> None:
    """Print the test score, what was chosen and why, where the report is and what to type next; then the evidence.

    Parameters
    ----------
    all_rows
        Whether every candidate has a row; else the best of each kind.
    """
    console = Console()
    for line in answer(run):
        print_plain(console, line)
    console.print()
    show_findings(console, [finding for finding in run.findings if finding.severity != "note"])
    rows = range(len(run.trials)) if all_rows else tables.best_of_each_kind(run.verdict, run.trials)
    console.print(verdict_table(run.verdict, run.trials, rows))
    if len(rows) < len(run.trials):
        print_plain(console, f"{len(run.trials) - len(rows)} more candidates are in the report, and shown with --all")


def answer(run: Run) -> list[str]:
    """Return the lines that a reader should take away if nothing else is read."""
    headline = words.headline(run)
    lines = [
        f"{headline.label}: {headline.value} {headline.unit}. {headline.sentence}",
        headline.how,
        f"chosen: {run.verdict.rows[run.verdict.chosen].label}",
        f"why:    {words.verdict(run)}",
    ]
    lines += [f"not tried: {finding.because}" for finding in run.findings if finding.code == "G309"]
    weak = weak_classes(run)
    if weak:
        lines.append(f"weakest classes: {', '.join(weak)}")
    if run.shift is not None:
        target = run.shift.score
        lines.append(
            f"on the target domain, {run.shift.folder}: {figure(target.metric, target.value)} "
            f"({interval_in_words(target.metric, target.low, target.high)}, {target.interval}; {target.images} images "
            "that were not used for the choice)"
        )
    folder = Path(run.folder)
    lines += [
        f"report: {folder / 'report.html'}",
        f"model:  {folder / 'model'}",
        f"next:   graft predict {shlex.quote(str(folder))} IMAGES",
    ]
    return [one_line(line) for line in lines]


def weak_classes(run: Run) -> list[str]:
    """Return the classes with the lowest recall, with their counts, if they are clearly below the accuracy."""
    tested = scored(run)
    accuracy = float((tested.predicted == tested.y).mean())
    weak = []
    for row in tables.class_rows(run)[:_WEAK_CLASSES]:
        recall = row["recall"]
        assert isinstance(recall, tables.Cell)
        if 100 * (accuracy - recall.value) >= WEAK_POINTS:
            weak.append(f"{row['name']} ({row['recall_count']} right)")
    return weak
