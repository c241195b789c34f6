"""What a person sees while a verb works: a bar with rate and time left, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType

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

from graftwork.cli.lines import one_line
from graftwork.core.trials import Standing
from graftwork.listener import Listener

PLAIN_EVERY_SECONDS = 10.0


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
    """Shows stages on standard error, so that standard output is only the result.

    Without a terminal these are plain lines; ``quiet`` shows nothing at all.
    """

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._quiet = quiet
        self._bar: _Board | None = None
        self._name = ""
        self._printed_at = 0.0
        self._standings: dict[str, Standing] = {}

    def __enter__(self) -> Terminal:
        if self.console.is_terminal and not self._quiet:
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
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, name: str) -> None:
        """Start a new bar, or print the name."""
        self._name, self._printed_at, self._standings = name, time.monotonic(), {}
        if self._bar is None:
            self.say(f"{name} ...")
            return
        self._bar.standings = ()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.add_task(name, total=None)

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
        if self._quiet:
            return
        before, self._standings = self._standings, {standing.label: standing for standing in standings}
        moved = [standing for standing in standings if standing != before.get(standing.label)]
        finished = [s for s in moved if s.folds > (before[s.label].folds if s.label in before else 0)]
        if not finished and time.monotonic() - self._printed_at > PLAIN_EVERY_SECONDS:
            finished = moved[-1:]
        for standing in finished:
            self._printed_at = time.monotonic()
            self._print(_line(standing))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if not self._quiet:
            self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(one_line(text), highlight=False, markup=False, soft_wrap=True)


def _table(standings: Sequence[Standing]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("candidate", "", "accuracy so far", "time left"):
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
    if standing.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(standing.seconds_left), 60)
    return f"{minutes}:{seconds:02d}"
