"""What a person sees while a verb works: a bar with rate and time left, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
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
from rich.text import Text

from graftwork.verbs.listener import Listener

PLAIN_EVERY_SECONDS = 10.0


class _Rate(ProgressColumn):
    """Things done a second."""

    def render(self, task: Task) -> Text:
        return Text("" if not task.speed else f"{task.speed:,.0f}/s", style="progress.data.speed")


class Terminal(Listener):
    """Shows stages on standard error, so that standard output is only the result."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._bar: Progress | None = None
        self._name = ""
        self._told = 0.0

    def __enter__(self) -> Terminal:
        if self.console.is_terminal and not self.console.quiet:
            self._bar = Progress(
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
        """Begin a line of its own."""
        self._name, self._told = name, time.monotonic()
        if self._bar is None:
            self.console.print(f"{name} ...", highlight=False)
            return
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.add_task(name, total=None)

    def progress(self, done: int, total: int) -> None:
        """Move the bar, or print a line every ten seconds."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[-1], completed=done, total=total)
        elif time.monotonic() - self._told > PLAIN_EVERY_SECONDS:
            self._told = time.monotonic()
            self.console.print(f"{self._name}: {done} of {total}", highlight=False)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
