"""Findings: what the facts mean for the user, and what to do about it."""

from __future__ import annotations

import dataclasses
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing worth knowing, with its evidence and the next step.

    ``code`` is stable and citable (``G1xx`` images, ``G2xx`` splits, ``G3xx`` results, ``G4xx`` backbones and codes).
    """

    code: str
    severity: Severity
    title: str
    because: str
    do: str = ""
    """A command, a flag or a step; empty where nothing needs doing."""
    basis: Literal["measured", "rule of thumb"] = "measured"
    count: int = 0
    examples: tuple[str, ...] = ()
    """Names of images concerned, at most twenty."""
