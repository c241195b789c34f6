"""How long a run may still take: only seconds in which it works count, also over several starts."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path

from graftwork.errors import UsageError
from graftwork.files import write_json

END_SECONDS = 8.0
"""What comes after the search, but for reading images: twice what picture, model folder and report took."""
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Clock:
    """Counts the seconds of a run, those of an earlier start that was killed included."""

    def __init__(self, limit_seconds: float, kept: Path) -> None:
        self.reserve_seconds = END_SECONDS
        """Put aside for what comes after the search: the test, the picture, the model folder and the report."""
        self._limit, self._kept = limit_seconds, kept
        self._before = _read(kept)
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
        """Seconds until the limit, the reserve put aside; infinite without a limit."""
        write_json(self._kept, {"active_seconds": self.seconds})
        return self._limit - self.reserve_seconds - self.seconds if self.runs_out else math.inf


def parse_seconds(text: str | float | None) -> float:
    """Return seconds of ``90``, ``90s``, ``10m``, ``1.5h``; infinite for None and ``none``.

    Raises
    ------
    UsageError
        When it is none of these.
    """
    if text is None or text == "none":
        return math.inf
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(text))
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"--time-limit must be a time such as 90s, 10m, 2h or none, got {text}; 10m is the default")
    return float(found[1]) * _UNITS[found[2]]


def _read(path: Path) -> float:
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["active_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
