"""The page's colours, each for light and for dark; charts are drawn in the light ones and repainted by the page."""

from __future__ import annotations

TOKENS: dict[str, tuple[str, str]] = {
    "page": ("#f6f7f9", "#101317"),
    "panel": ("#ffffff", "#181c22"),
    "field": ("#f1f3f6", "#20252c"),
    "line": ("#dde1e7", "#323943"),
    "ink": ("#1a1f26", "#e9ecf0"),
    "muted": ("#59636f", "#a4aeba"),
    "accent": ("#1b62a8", "#76b5f3"),
    "second": ("#b4510a", "#f0a35e"),
    "good": ("#23743f", "#71c78d"),
    "caution": ("#8a5a00", "#e6b450"),
    "bad": ("#b02a20", "#f28b82"),
    "hit": ("#1f68b0", "#2d6bad"),
    "miss": ("#b8550d", "#a3561c"),
    "on_cell": ("#fefefe", "#f7f8fa"),
}
"""Text colours (ink, muted, accent, second, good, caution, bad) keep a contrast of at least 4.5 on page, panel and
field, and on_cell on hit and miss."""

CLASS_COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
"""Ten colours that stay apart for colour-blind readers (Petroff 2021)."""

MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "star", "plus")
"""A class beyond the tenth differs in shape from the one whose colour it shares."""


def light(token: str) -> str:
    """The colour in which a chart is drawn first."""
    return TOKENS[token][0]


def stylesheet() -> str:
    """CSS variables of every token, for both schemes; paper is always light."""
    day, night = ("".join(f"--{name}:{pair[i]};" for name, pair in TOKENS.items()) for i in (0, 1))
    return f":root{{{day}}}@media screen and (prefers-color-scheme:dark){{:root{{{night}color-scheme:dark}}}}"


def light_to_dark() -> dict[str, str]:
    """What the page repaints each colour of a chart with in the dark."""
    return {pair[0]: pair[1] for pair in TOKENS.values()}


def class_colour(index: int) -> str:
    """The colour of a class in the projection."""
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]


def marker_of(index: int) -> str:
    """The shape of a class in the projection; it changes when the colours come round again."""
    return MARKERS[index // len(CLASS_COLOURS) % len(MARKERS)]
