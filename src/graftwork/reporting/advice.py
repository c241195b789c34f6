"""Advice as the report words it, and the rows of its table."""

from __future__ import annotations

import dataclasses

from graftwork.core.advice import Advice, Expectation
from graftwork.core.figures import counted

UNEVEN = 1.5
"""Size of the largest class as a multiple of the smallest, from which it is told."""


def lines(advice: Advice) -> tuple[tuple[str, str], ...]:
    """Return what the rule of thumb says and what was measured, the latter first where they disagree."""
    both = ("rule says", advice.rule_says), ("measured says", advice.measured_says)
    return both if advice.agree else both[::-1]


def place(advice: Advice) -> str:
    """Say how many images there are, and between which reference sets they are."""
    size = advice.size
    where = f"; the images are {advice.place.in_words}" if advice.ladder else ""
    uneven = size.imbalance >= UNEVEN
    imbalance = f", {size.imbalance:.1f} times as many in the largest as in the smallest" if uneven else ""
    return (
        f"{counted(size.images, 'image')} to develop on in {len(size.per_class)} classes"
        f"{imbalance}: {size.effective_per_class:,.0f} independent ones a class{where}."
    )


def more_images(advice: Advice) -> str:
    """Say what twice as many images are expected to gain."""
    doubled = advice.curve.doubled
    if doubled is None:
        return "There are too few images to say what more would bring."
    return (
        f"With {counted(advice.size.images, 'image')} more, a linear classifier on the last layer is expected to gain "
        f"{doubled.in_words}."
    )


@dataclasses.dataclass(frozen=True)
class StrategyRow:
    """A strategy in the table of the report."""

    strategy: str
    expected: str
    interval: str
    measured: str
    recommended: bool


def strategy_rows(advice: Advice) -> list[StrategyRow]:
    """Return the strategies by rising cost."""
    return [_row(each, recommended=each is advice.recommended) for each in advice.expectations]


def _row(each: Expectation, *, recommended: bool) -> StrategyRow:
    if each.strategy == "last layer":
        return StrategyRow(each.strategy, "0", "", "0", recommended)
    measured = "not tried" if each.measured is None else f"{signed(each.measured.points)} ({each.measured.ends})"
    return StrategyRow(each.strategy, signed(each.gain.points), each.gain.ends, measured, recommended)


def signed(points: float) -> str:
    """Return points with their sign, such as ``+1.5``."""
    return f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")
