"""Networks as people read them in a terminal: a table, a picture of accuracy against cost, a few facts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from graftwork.cli.show import print_json, print_plain
from graftwork.core.figures import counted
from graftwork.core.shown import Shown, facts_of, one_line

if TYPE_CHECKING:
    from graftwork.zoo.listing import Listed

WIDTH, HEIGHT = 64, 14
"""Of the picture, in characters."""
FEWEST_DRAWN = 4
_COLUMNS: dict[str, Callable[[Listed], str]] = {
    "licence": lambda row: row.licence,
    "input": lambda row: _number(row.input_px, "d", " px"),
    "parameters": lambda row: _number(row.params_millions, ".1f", " M"),
    "GMACs": lambda row: _number(row.gmacs, ".2f"),
    "file": lambda row: _number(row.size_mb, ".0f", " MB"),
    "top-1": lambda row: _number(None if row.top1 is None else 100 * row.top1, ".1f", " %"),
    "images/s": lambda row: _number(row.images_per_second, ".0f"),
    "trained on": lambda row: row.trained_on,
}
_WIDE = 120
"""Characters of a terminal from which everything has a column."""
_WORDS = ("licence", "trained on")
_WORDS_WIDTH = 14
"""Characters of a column of words; longer ones end in an ellipsis."""
_LEFT_OUT = ("file", "trained on")
"""Columns of wide terminals; ``show`` tells the rest."""


def show_list(rows: Sequence[Listed], *, as_json: bool) -> None:
    """Print networks as a table, or as JSON; columns that nothing is known for are left out."""
    if as_json:
        print_json(rows)
        return
    console = Console()
    if not rows:
        print_plain(console, "no network matches")
        return
    columns = {title: cell for title, cell in _COLUMNS.items() if console.width >= _WIDE or title not in _LEFT_OUT}
    shown = {title: cell for title, cell in columns.items() if any(cell(row) for row in rows)}
    table = Table(title=counted(len(rows), "network"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("name", overflow="fold")
    for title, cell in shown.items():
        words = title in _WORDS
        width = min(max(len(title), *(len(cell(row)) for row in rows)), _WORDS_WIDTH if words else console.width)
        table.add_column(title, justify="left" if words else "right", no_wrap=True, min_width=width, max_width=width)
    for row in rows:
        table.add_row(Text(one_line(row.name)), *(Text(one_line(cell(row))) for cell in shown.values()))
    console.print(table)
    for row in rows:
        if row.problem:
            print_plain(console, f"{row.name}: {row.problem}")
    for line in picture(rows):
        print_plain(console, line)


def picture(rows: Sequence[Listed]) -> list[str]:
    """Accuracy upwards against operations to the right, the best for their cost named; nothing for a few networks."""
    known = [(row.gmacs, 100 * row.top1, row.name) for row in rows if row.gmacs and row.top1]
    if len(known) < FEWEST_DRAWN:
        return []
    low, high = min(y for _, y, _ in known), max(y for _, y, _ in known)
    left, right = (math.log(edge) for edge in (min(x for x, _, _ in known), max(x for x, _, _ in known)))
    canvas = [[" "] * WIDTH for _ in range(HEIGHT)]
    best, front = -math.inf, []
    for x, y, name in sorted(known):
        column = round((WIDTH - 1) * (math.log(x) - left) / max(right - left, 1e-9))
        line = round((HEIGHT - 1) * (high - y) / max(high - low, 1e-9))
        leads = y > best
        canvas[line][column] = "o" if leads else (canvas[line][column] if canvas[line][column] == "o" else ".")
        if leads:
            best = y
            front.append(f"{name} ({y:.1f} % at {x:.2f})")
    lines = ["".join(characters).rstrip() for characters in canvas]
    axis = f"{math.exp(left):.2f} GMACs".ljust(WIDTH - 12) + f"{math.exp(right):.2f} GMACs"
    return [
        "top-1 on the source against operations; o: nothing cheaper is better",
        *(
            f"{high if i == 0 else low:5.1f} |{line}" if i in (0, HEIGHT - 1) else f"      |{line}"
            for i, line in enumerate(lines)
        ),
        f"       {axis}",
        f"best for their cost: {', '.join(front)}",
    ]


def show_record(record: Shown, *, as_json: bool) -> None:
    """Print a record's facts, one a line, or all of it as JSON."""
    if as_json:
        print_json(record)
        return
    console = Console()
    for fact in facts_of(record):
        print_plain(console, f"{fact.label + ':':<22}{fact.text}" if fact.label else fact.text)


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"
