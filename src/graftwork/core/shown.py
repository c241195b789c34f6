"""How text and records are shown to people: on one line, and by a few facts instead of all fields."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import NamedTuple

_GRID = "display:grid;grid-template-columns:max-content auto;column-gap:1em;justify-content:start"
_LABEL = "opacity:.65"
_BAR = "display:inline-block;height:.6em;border-radius:.1em;background:currentColor;opacity:.5"
"""In the text's own colour, so that a light and a dark page both fit."""
_BAR_EM = 10
_LINE = 240
"""Characters; a representation of more has a line for each fact."""
_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line and paragraph separators, and lone surrogates: bytes of a name that are not UTF-8."""


class Fact(NamedTuple):
    """A line about a record; one without a label belongs to its title."""

    label: str
    text: str
    share: float | None = None
    """Drawn as a bar in a notebook."""


class Shown:
    """A record that says what matters about it; everything else is in its fields.

    Dataclasses that derive from it are made with ``repr=False``.
    """

    def _facts(self) -> Sequence[Fact]:
        raise NotImplementedError

    def __repr__(self) -> str:
        lines = [one_line(f"{fact.label}: {fact.text}" if fact.label else fact.text) for fact in self._facts()]
        between = "; " if sum(map(len, lines)) <= _LINE else "\n  "
        return f"{type(self).__name__}({between.join(lines)})"

    def _repr_html_(self) -> str:
        """In a notebook: a line each."""
        title = " ".join(escaped(fact.text) for fact in self._facts() if not fact.label)
        cells = "".join(
            f'<span style="{_LABEL}">{escaped(fact.label)}</span><span>{_bar(fact)}{escaped(fact.text)}</span>'
            for fact in self._facts()
            if fact.label
        )
        return f'<div><strong>{type(self).__name__}</strong> {title}<div style="{_GRID}">{cells}</div></div>'


def facts_of(record: Shown) -> Sequence[Fact]:
    """Return what matters about a record, in order."""
    return record._facts()


def one_line(text: str) -> str:
    """Return text for people with escapes in place of characters that break the line or control the terminal."""
    return _BREAKING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def escaped(text: str) -> str:
    """Return text on one line as HTML."""
    return html.escape(one_line(text))


def _bar(fact: Fact) -> str:
    if fact.share is None:
        return ""
    width_em = _BAR_EM * fact.share
    return f'<span style="{_BAR};width:{width_em:.2f}em;margin-right:{_BAR_EM - width_em + 0.5:.2f}em"></span>'
