"""Text that stays on its line and can be written, whatever letters the names in it hold."""

from __future__ import annotations

import io
import re
import sys

_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line and paragraph separators, and halves of letters: bytes of a name that are no text."""


def let_streams_take_any_name() -> None:
    """Write as an escape what a stream's encoding has no letter for, and read names that are no text as bytes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def one_line(text: str) -> str:
    """Return text for people with escapes in place of what would break its line or steer the terminal."""
    return _BREAKING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def message(error: Exception) -> str:
    """Return the one line that an error is to a user; those of other libraries may come in several."""
    return one_line(f"graft: {' '.join(str(error).split())}")
