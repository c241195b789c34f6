"""Advice on one screen: the two axes with the data's place on them, what is expected of each strategy, the command."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graftwork.cli.show import behind, print_json, print_plain, show_findings
from graftwork.core.advice import DIFFERENT_ENTROPY, ENTROPIES, LARGE_PER_CLASS, SIZES
from graftwork.core.figures import counted, figure, interval
from graftwork.core.shown import one_line

if TYPE_CHECKING:
    from graftwork.verbs.advise import Advised

WIDTH = 41
"""Characters of an axis."""


def show_advice(advised: Advised, *, as_json: bool) -> None:
    """Print advice as JSON, or on one screen."""
    if as_json:
        print_json(advised)
        return
    console = Console()
    advice = advised.advice
    rule, measured, cost = advised.lines
    lines = [("rule says", rule), ("measured says", measured)]
    if not advice.agree:
        print_plain(console, "The rule of thumb and the measurements disagree.")
        lines.reverse()
    for label, text in [*lines, ("to be sure", cost)]:
        print_plain(console, f"{label + ':':<15}{text}")
    print_plain(console, "")
    per_class = advice.size.effective_per_class
    print_plain(
        console, f"{'size':<12}{_axis(per_class, LARGE_PER_CLASS, SIZES)}  {per_class:,.0f} independent images a class"
    )
    entropy = advice.similarity.entropy
    print_plain(console, f"{'similarity':<12}{_axis(entropy, DIFFERENT_ENTROPY, ENTROPIES)}  {advice.place.in_words}")
    if advice.similarity.gauge != advice.backbone:
        print_plain(
            console, f"{'':<12}as {advice.similarity.gauge} sees it: {advice.backbone} has no profile of its source"
        )
    print_plain(console, f"{'':<12}{'small, similar':<{WIDTH // 2}}{'large, different':>{WIDTH - WIDTH // 2}}")
    if len(advised.networks) > 1:
        console.print(_networks(advised))
    console.print(_table(advised))
    doubled = advice.curve.doubled
    if doubled is not None:
        print_plain(
            console,
            f"label {counted(advice.size.images, 'image')} more: about {doubled.in_words}, with a linear classifier",
        )
    show_findings(console, advised.findings)


def _axis(value: float, boundary: float, ends: tuple[float, float]) -> str:
    """Draw a logarithmic axis with the boundary (|) and the place of a value (o)."""

    def place(at: float) -> int:
        low, high = map(math.log, ends)
        return round((WIDTH - 1) * min(1.0, max(0.0, (math.log(max(at, 1e-9)) - low) / (high - low))))

    marks = ["-"] * WIDTH
    marks[place(boundary)] = "|"
    marks[place(value)] = "o"
    return "".join(marks)


def _networks(advised: Advised) -> Table:
    """The networks that were compared, by their best linear classifiers."""
    metric = advised.verdict.metric
    table = Table(title="networks, out of fold (validation, selected)", title_justify="left")
    table.add_column("network", overflow="fold")
    for title in (metric, "95 % interval", "behind the best", "GMACs"):
        table.add_column(title, justify="right")
    for network in advised.networks:
        row, gmacs = network.row, network.card.gmacs
        table.add_row(
            Text(one_line(network.card.name)),
            figure(metric, row.score),
            interval(metric, row.low, row.high),
            behind(metric, row),
            "" if gmacs is None else f"{gmacs:.2f}",
            style="bold" if network.card.name == advised.card.name else None,
        )
    return table


def _table(advised: Advised) -> Table:
    title = f"{advised.card.name}: expected gain over a linear classifier on its last layer, in points"
    table = Table(title=one_line(title), title_justify="left")
    table.add_column("strategy")
    for title in ("expected", "80 % interval", "measured", "takes here"):
        table.add_column(title, justify="right")
    for each in advised.advice.expectations:
        last = each.strategy == "last layer"
        table.add_row(
            each.strategy,
            "0" if last else f"{each.gain.points:+.1f}".replace("-", "−"),
            "" if last else each.gain.ends,
            "" if each.measured is None else f"{each.measured.points:+.1f} ({each.measured.ends})".replace("-", "−"),
            "" if each.seconds is None else f"{each.seconds / 60:.1f} min" if each.seconds else "done",
            style="bold" if each is advised.advice.recommended else None,
        )
    return table
