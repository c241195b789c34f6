"""What a verb tells while it works, and what it took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from graftwork.core.trials import Standing


class Listener:
    """Told what happens; says nothing itself. The command line prints, others may log."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def progress(self, done: int, total: int) -> None:
        """So much of the stage is done."""

    def candidates(self, standings: Sequence[Standing]) -> None:
        """Where every candidate stands now, in the order in which they are to be shown."""

    def say(self, text: str) -> None:
        """A line that a person should read."""


class Stages:
    """Tells a listener of each stage and keeps its wall-clock seconds."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
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
