"""What long work tells while it goes on: one listener, from the verbs down to the training loop."""

from __future__ import annotations

from collections.abc import Sequence

from graftwork.core.trials import Standing


class Listener:
    """Hears what a verb does and shows nothing; what derives from it may show or log that.

    Verbs that are given none show a progress bar in a terminal and in a notebook, and nothing elsewhere.

    Examples
    --------
    >>> graftwork.check("photos", listener=Listener()).images  # shows no progress
    45
    """

    def stage(self, name: str) -> None:
        """A stage begins."""

    def end_stage(self) -> None:
        """The stage is over, or has failed."""

    def progress(self, done: int, total: int) -> None:
        """Some of the stage is done: images, candidates, epochs, or megabytes (10^6 bytes) of a download."""

    def candidates(self, standings: Sequence[Standing]) -> None:
        """Where every candidate of the tournament stands now, in the order in which to show them."""

    def say(self, text: str) -> None:
        """A line that a person should read."""


SILENT = Listener()
"""For work that nobody listens to."""
