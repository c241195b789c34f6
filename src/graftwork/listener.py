"""What long work tells while it goes on: one listener, from the verbs down to the training loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from graftwork.core.trials import Standing


class Listener:
    """Hears what happens and does nothing about it; the command line prints it, others may log it."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def progress(self, done: int, total: int) -> None:
        """Some of the stage is done: images, candidates or epochs."""

    def candidates(self, standings: Sequence[Standing]) -> None:
        """Where every candidate of the tournament stands now, in the order in which to show them."""

    def say(self, text: str) -> None:
        """A line that a person should read."""


SILENT = Listener()
"""For work that nobody listens to."""


class Stages:
    """Tells a listener of each stage and measures its wall-clock seconds."""

    def __init__(self, listener: Listener | None) -> None:
        self.listener = listener or SILENT
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
