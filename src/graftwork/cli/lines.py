"""Messages and streams of the command line, whatever characters the names in them contain."""

from __future__ import annotations

import io
import sys

from graftwork.core.shown import one_line


def let_streams_take_any_name() -> None:
    """Escape characters that a stream's encoding lacks, and read names that are not UTF-8 as bytes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def message(error: Exception) -> str:
    """Return an error as one line; messages of other libraries may have several."""
    return one_line(f"graft: {' '.join(str(error).split())}")
