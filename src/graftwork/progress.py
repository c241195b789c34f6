"""What a person sees while a verb works: a bar in a terminal or a notebook, plain lines elsewhere; and its stages."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from graftwork.core.shown import escaped, one_line
from graftwork.core.trials import Standing
from graftwork.listener import SILENT, Listener

PLAIN_EVERY_SECONDS = 10.0
NOTEBOOK_EVERY_SECONDS = 0.2


class Stages:
    """Tells a listener of each stage and measures its wall-clock seconds.

    Parameters
    ----------
    listener
        None: a bar in a terminal or a notebook, nothing elsewhere.
    """

    def __init__(self, listener: Listener | None) -> None:
        self.listener = default_listener() if listener is None else listener
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside; a stage entered again adds to its seconds."""
        self.listener.stage(name)
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
            self.listener.end_stage()


def default_listener() -> Listener:
    """Return what shows progress to the person at a terminal or a notebook, and nothing where there is none.

    Workers show nothing, neither processes nor threads: several bars at once would overwrite each other.
    """
    if multiprocessing.parent_process() is not None or threading.current_thread() is not threading.main_thread():
        return SILENT
    if _in_notebook():
        return Notebook()
    return Terminal() if sys.stderr is not None and sys.stderr.isatty() else SILENT


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class _Rate(ProgressColumn):
    """Items done per second."""

    def render(self, task: Task) -> Text:
        return Text("" if not task.speed else f"{task.speed:,.0f}/s", style="progress.data.speed")


class _Board(Progress):
    """A bar, and under it a row for every candidate of a tournament."""

    standings: Sequence[Standing] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.standings:
            yield _table(self.standings)


class Terminal(Listener):
    """Shows stages on standard error, so that standard output is only the result; plain lines without a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar: _Board | None = None
        self._name = ""
        self._printed_at = 0.0
        self._standings: dict[str, Standing] = {}

    def stage(self, name: str) -> None:
        """Start a bar, or print the name."""
        self._name, self._printed_at, self._standings = name, time.monotonic(), {}
        if not self.console.is_terminal:
            self.say(f"{name} ...")
            return
        self._bar = _Board(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._bar.add_task(name, total=None)
        self._bar.start()

    def end_stage(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def progress(self, done: int, total: int) -> None:
        """Move the bar, or print a line every ten seconds."""
        if self._bar is not None:
            # a bar that is full would stand while the stage goes on with something that is not counted: it pulses
            self._bar.update(self._bar.task_ids[-1], completed=done)
            self._bar.tasks[-1].total = total if done < total else None
        elif time.monotonic() - self._printed_at > PLAIN_EVERY_SECONDS:
            self._printed_at = time.monotonic()
            self.say(f"{self._name}: {done} of {total}")

    def candidates(self, standings: Sequence[Standing]) -> None:
        """Show a row for each; without a terminal print a line per finished fold, or else one every ten seconds."""
        if self._bar is not None:
            self._bar.standings = tuple(standings)
            return
        before, self._standings = self._standings, {standing.label: standing for standing in standings}
        moved = [standing for standing in standings if standing != before.get(standing.label)]
        finished = [s for s in moved if s.folds > (before[s.label].folds if s.label in before else 0)]
        if not finished and time.monotonic() - self._printed_at > PLAIN_EVERY_SECONDS:
            finished = moved[-1:]
        for standing in finished:
            self._printed_at = time.monotonic()
            self.say(_line(standing))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(one_line(text), highlight=False, markup=False, soft_wrap=True)


class Notebook(Listener):
    """Shows the stage and its candidates in one place of a notebook's output, where lines to read stay."""

    def __init__(self) -> None:
        self._display: Any = None
        self._said: list[str] = []
        self._name = ""
        self._began_at = self._drawn_at = 0.0
        self._counts: tuple[int, int] | None = None
        self._standings: Sequence[Standing] = ()

    def stage(self, name: str) -> None:
        """Show the name and a bar that does not move yet."""
        self._name, self._counts, self._standings = name, None, ()
        self._began_at = time.monotonic()
        self._draw()

    def end_stage(self) -> None:
        """Remove the bar."""
        self._name, self._counts, self._standings = "", None, ()
        self._draw()

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        self._counts = done, total
        self._draw_sometimes()

    def candidates(self, standings: Sequence[Standing]) -> None:
        """Show a row for each."""
        self._standings = tuple(standings)
        self._draw_sometimes()

    def say(self, text: str) -> None:
        """Add a line above the bar."""
        self._said.append(text)
        self._draw()

    def _draw_sometimes(self) -> None:
        """Draw a few times a second: every drawing is a message to the page."""
        if time.monotonic() - self._drawn_at > NOTEBOOK_EVERY_SECONDS:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import display

        self._drawn_at = time.monotonic()
        shown = {"text/html": self._html(), "text/plain": "\n".join(map(one_line, [*self._said, self._name]))}
        if self._display is None:
            self._display = display(shown, raw=True, display_id=True)
        else:
            self._display.update(shown, raw=True)

    def _html(self) -> str:
        parts = [f"<div>{escaped(text)}</div>" for text in self._said]
        if self._name:
            done, total = self._counts or (0, 0)
            moves = f'value="{done}" max="{total}"' if done < total else ""
            parts.append(f"<div>{escaped(self._name)} <progress {moves}></progress> {self._figures()}</div>")
        rows = [[s.label, s.state, _accuracy(s), _left(s)] for s in self._standings]
        cells = (f"<span>{escaped(text)}</span>" for row in [_COLUMNS, *rows] for text in row)
        if rows:
            parts.append(f'<div style="{_BOARD}">{"".join(cells)}</div>')
        return "".join(parts)

    def _figures(self) -> str:
        if self._counts is None or not self._counts[0]:
            return ""
        done, total = self._counts
        seconds = time.monotonic() - self._began_at
        return f"{done:,}/{total:,}, {_clock(seconds)} so far, {_clock(seconds * (total - done) / done)} left"


_COLUMNS = ("candidate", "", "accuracy so far", "time left")
_BOARD = "display:grid;grid-template-columns:repeat(4,max-content);column-gap:1.5em"


def _table(standings: Sequence[Standing]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in _COLUMNS:
        table.add_column(title, justify="right" if title.endswith(("far", "left")) else "left", header_style="dim")
    for standing in standings:
        texts = (standing.label, standing.state, _accuracy(standing), _left(standing))
        table.add_row(*map(Text, texts))  # as text, since the names of layers may hold what looks like markup
    return table


def _line(standing: Standing) -> str:
    accuracy, left = _accuracy(standing), _left(standing)
    parts = [standing.state, accuracy and f"{accuracy} so far", left and f"{left} left"]
    return f"{standing.label}: {', '.join(filter(None, parts))}"


def _accuracy(standing: Standing) -> str:
    return "" if standing.accuracy is None else f"{100 * standing.accuracy:.1f} %"


def _left(standing: Standing) -> str:
    return "" if standing.seconds_left is None else _clock(standing.seconds_left)


def _clock(duration_seconds: float) -> str:
    minutes, seconds = divmod(round(duration_seconds), 60)
    return f"{minutes}:{seconds:02d}"
