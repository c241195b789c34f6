"""Records as people read them in a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cattrs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from graftwork.core.figures import counted, difference, figure, interval, interval_in_words
from graftwork.core.shown import Shown, facts_of, one_line

if TYPE_CHECKING:
    from graftwork.core.choose import Row, Verdict
    from graftwork.core.facts import Metric
    from graftwork.core.findings import Finding
    from graftwork.core.stats import Share
    from graftwork.core.trials import Trial
    from graftwork.verbs.check import CheckResult
    from graftwork.verbs.compare import Comparison
    from graftwork.verbs.evaluate import Evaluation
    from graftwork.verbs.probe import Probe

SHOWN = 3
"""Images that are named for a finding; `--json`, the record and the report have more."""
_COLOUR = {"error": "red", "warning": "yellow", "note": "cyan"}


def behind(metric: Metric, row: Row) -> str:
    """A deficit, and whether it is significant."""
    return f"{difference(metric, row.deficit)}{' (significant)' if row.beaten else ''}"


def print_plain(console: Console, text: str) -> None:
    """Print a line that holds names: as it stands, for names may hold what looks like markup."""
    console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)


def _name(name: str) -> Text:
    """A name in a table."""
    return Text(one_line(name))


def verdict_table(verdict: Verdict, trials: Sequence[Trial], rows: Sequence[int] | None = None) -> Table:
    """Candidates and every baseline; validation, selected.

    Parameters
    ----------
    rows
        Positions of the candidates to show; all unless given.
    """
    table = Table(title="out of fold (validation, selected)", title_justify="left")
    table.add_column("candidate")
    for title in (verdict.metric, "95 % interval", "behind the best", "seconds"):
        table.add_column(title, justify="right")
    for number in range(len(trials)) if rows is None else rows:
        row, trial = verdict.rows[number], trials[number]
        mark = "chosen" if number == verdict.chosen else "best" if number == verdict.best else ""
        if trial.ended == "interrupted":  # its score so far says nothing about it
            mark = trial.ended
        seconds = f"{trial.fit_seconds:.1f}" if trial.fit_seconds >= 0.05 else "<0.1"
        _add(table, verdict.metric, row, mark, seconds)
    table.add_section()
    for row in verdict.baselines:
        _add(table, verdict.metric, row, "", "")
    return table


def _add(table: Table, metric: Metric, row: Row, mark: str, seconds: str) -> None:
    table.add_row(
        _name(row.label),
        figure(metric, row.score),
        interval(metric, row.low, row.high),
        mark or behind(metric, row),
        seconds,
        style="bold" if mark == "chosen" else None,
    )


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print findings, the most severe first, with the images concerned and what to do."""
    order = list(_COLOUR)
    for finding in sorted(findings, key=lambda f: order.index(f.severity)):
        colour = _COLOUR[finding.severity]
        console.print(f"[{colour}]{finding.severity} {finding.code}[/{colour}] ", end="")
        print_plain(console, f"{finding.title}: {finding.because}")
        for name in finding.examples[:SHOWN]:
            print_plain(console, f"    {name}")
        if finding.examples and finding.count > SHOWN:
            print_plain(console, f"    and {finding.count - SHOWN} more")
        if finding.do:
            print_plain(console, f"    -> {finding.do}")


def print_json(record: Any) -> None:
    """Print a record as JSON for programs."""
    plain = cattrs.unstructure(record)
    print(json.dumps(plain, indent=1, ensure_ascii=must_escape(), default=_plain))


def must_escape() -> bool:
    """Whether standard output has no letters for some names: JSON's own escapes, not the stream's, keep it JSON."""
    return not str(getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def show_facts(record: Shown, *, as_json: bool) -> None:
    """Print what matters about a record, a line for each fact."""
    if as_json:
        print_json(record)
        return
    console = Console()
    facts = facts_of(record)
    widest = max(len(fact.label) for fact in facts) + 1
    for fact in facts:
        label = f"{fact.label}:" if fact.label else ""
        print_plain(console, f"{label:<{widest}} {fact.text}".strip())


def show_probe(probe: Probe, *, as_json: bool, plot: Path | None) -> None:
    """Print the score of every layer, and draw it."""
    if plot is not None:
        from graftwork.reporting.page import write_layer_plot

        write_layer_plot(probe.verdict, probe.trials, probe.card, plot)
    if as_json:
        print_json(
            {
                "backbone": probe.card.name,
                "images": probe.images,
                "on": probe.on,
                "verdict": probe.verdict,
                "findings": probe.findings,
                "stage_seconds": probe.stage_seconds,
            }
        )
        return
    console = Console()
    show_findings(console, probe.findings)
    print_plain(console, f"{probe.card.name}, {probe.images} images ({probe.on})")
    console.print(verdict_table(probe.verdict, probe.trials))
    if plot is not None:
        print_plain(console, f"plot: {plot}")


def show_comparison(comparison: Comparison, *, as_json: bool) -> None:
    """Print each run's score, the paired differences, and the images that changed."""
    if as_json:
        print_json(comparison)
        return
    console = Console()
    table = Table(title="on the test images that the runs share", title_justify="left")
    widest = max(len(row.label) for row in comparison.rows)
    table.add_column("run", overflow="fold", no_wrap=widest <= console.width // 2)
    for title in (comparison.metric, "95 % interval", "behind the best", "difference, 95 %"):
        table.add_column(title, justify="right", overflow="fold")
    for row in comparison.rows:
        table.add_row(
            _name(row.label),
            figure(comparison.metric, row.score),
            interval(comparison.metric, row.low, row.high),
            behind(comparison.metric, row),
            interval(comparison.metric, row.deficit_low, row.deficit_high),
        )
    console.print(table)
    recall = Table(title="recall by class", title_justify="left")
    recall.add_column("class")
    for row in comparison.rows:
        recall.add_column(_name(row.label), justify="right", overflow="fold")
    for c, name in enumerate(comparison.classes):
        recall.add_row(_name(name), *(_share(shares[c]) for shares in comparison.recall))
    console.print(recall)
    changed = counted(len(comparison.changed), "image", "is")
    console.print(f"{changed} predicted differently by the first two runs", highlight=False)
    for change in comparison.changed[:20]:
        print_plain(console, f"  {change.name}: {change.first} -> {change.second} (true class: {change.label})")


def _share(share: Share) -> str:
    return f"{100 * share.hits / share.of:.0f} %" if share.of else "-"


def show_evaluation(evaluation: Evaluation, *, at_least: float | None, as_json: bool) -> None:
    """Print the score on new images, and separately that on images that the model was trained on."""
    if as_json:
        print_json(evaluation)
        return
    console = Console()
    show_findings(console, [finding for finding in evaluation.findings if finding.severity != "note"])
    for score, which in ((evaluation.fresh, "new images"), (evaluation.trained_on, "images that it was trained on")):
        if score is not None:
            console.print(
                f"{score.metric} on {score.images} {which}: [bold]{figure(score.metric, score.value)}[/bold] "
                f"({interval_in_words(score.metric, score.low, score.high)}, {score.interval})",
                highlight=False,
            )
    if evaluation.near is None:
        console.print("near-duplicates of training images were not searched: their measurements are no longer cached")
    table = Table()
    for title in ("class", "recall", "95 %", "precision", "95 %", "images"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for name, recall, precision in zip(evaluation.classes, evaluation.recall, evaluation.precision, strict=True):
        spans = [interval("accuracy", s.low, s.high) if s.of else "-" for s in (recall, precision)]
        table.add_row(_name(name), _share(recall), spans[0], _share(precision), spans[1], str(recall.of))
    console.print(table)
    if at_least is not None:
        low = evaluation.fresh.low
        why = evaluation.fresh.interval if low is None else f"lower bound {low:.3f}"
        holds = evaluation.is_at_least(at_least)
        console.print(f"at least {at_least}: {'holds' if holds else 'does not hold'} ({why})")


def show_check(result: CheckResult, *, as_json: bool) -> None:
    """Print counts and findings."""
    if as_json:
        print_json(result)
        return
    console = Console()
    without = "" if result.per_class else ", without labels"
    console.print(f"{counted(result.images, 'image')} that can be used{without}", highlight=False)
    if result.per_class:
        table = Table()
        table.add_column("class")
        table.add_column("images", justify="right")
        for name, count in result.per_class.items():
            table.add_row(_name(name), str(count))
        console.print(table)
    if result.per_part:
        console.print(", ".join(f"{part}: {count}" for part, count in result.per_part.items()), highlight=False)
    show_findings(console, result.findings)
    if not result.findings:
        console.print("no problem was found")
