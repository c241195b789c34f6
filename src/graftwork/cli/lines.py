"""Text that stays on one line and can be printed, whatever characters the names in it contain."""

from __future__ import annotations

import io
import re
import sys

_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line and paragraph separators, and lone surrogates: bytes of a name that are not UTF-8."""


def let_streams_take_any_name() -> None:
    """Escape characters that a stream's encoding lacks, and read names that are not UTF-8 as bytes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def one_line(text: str) -> str:
    """Return text for people with escapes in place of characters that break the line or control the terminal."""
    return _BREAKING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def message(error: Exception) -> str:
    """Return an error as one line; messages of other libraries may have several."""
    return one_line(f"graft: {' '.join(str(error).split())}")
