"""How long a run may still take: only seconds in which it works count, also over several starts."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

from graftwork.errors import UsageError
from graftwork.files import read_cached, write_json

END_SECONDS = 8.0
"""Reserved for what comes after the search, except extraction: projection, model folder and report took 2.5 to 7, by
the machine."""
_ACTIVE = "active_seconds"
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Clock:
    """Counts the seconds of a run, those of an earlier start that was killed included.

    Parameters
    ----------
    limit_seconds
        Infinite where there is no limit.
    file
        Where the count is saved by ``save``, so that a run that is killed and started again goes on with it.
    """

    def __init__(self, limit_seconds: float, file: Path) -> None:
        self.reserve_seconds = END_SECONDS
        """Reserved for what comes after the search: the test, the projection, the model folder and the report."""
        self._limit, self._file = limit_seconds, file
        self._before = _saved_seconds(file)
        self._begin = time.monotonic()

    @property
    def runs_out(self) -> bool:
        """Whether there is a limit."""
        return math.isfinite(self._limit)

    @property
    def seconds(self) -> float:
        """Active seconds so far."""
        return self._before + time.monotonic() - self._begin

    def left(self) -> float:
        """Seconds until the limit, less the reserve; infinite without a limit."""
        return self._limit - self.reserve_seconds - self.seconds if self.runs_out else math.inf

    def save(self) -> None:
        """Write the active seconds to the file; called whenever something is done that a killed run keeps."""
        write_json(self._file, {_ACTIVE: self.seconds})


def parse_seconds(text: str | float | None) -> float:
    """Return seconds of ``90``, ``90s``, ``10m``, ``1.5h``; infinite for None and ``none``.

    Raises
    ------
    UsageError
        When it is none of these.
    """
    if text is None or text == "none":
        return math.inf
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(text))
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"--time-limit must be a time such as 90s, 10m, 2h or none, got {text}; 10m is the default")
    return float(match[1]) * _UNITS[match[2]]


def _saved_seconds(file: Path) -> float:
    return (read_cached(file, dict[str, float]) or {}).get(_ACTIVE, 0.0)
