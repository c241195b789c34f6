"""How a number is written for people: the same in the terminal, the report, the model card and every finding."""

from __future__ import annotations

from graftwork.core.facts import Metric


def percent(share: float) -> str:
    """Return ``96.7`` for 0.967; a share below 1 is never written as ``100.0``, nor one above 0 as ``0.0``."""
    for decimals in (1, 2, 3):
        text = f"{100 * share:.{decimals}f}"
        if share >= 1 or share <= 0 or 0 < float(text) < 100:
            break
    return text


def probability(value: float) -> str:
    """Return a probability of one class for one image, with its unit; no model is said to be certain."""
    if value < 0.001:
        return "<0.1 %"
    if value > 0.999:
        return ">99.9 %"
    return f"{100 * value:.1f} %"


_PLURALS = {"is": "are", "has": "have", "holds": "hold", "seems": "seem", "class": "classes"}


def counted(n: int, noun: str, verb: str = "", *, of: int | None = None) -> str:
    """Return ``1 image is``, ``2 images are`` or, with ``of``, ``1 of 40 images is``."""
    several = _PLURALS.get(noun, f"{noun}s")
    what = f"{n:,} {noun if n == 1 else several}" if of is None else f"{n:,} of {of:,} {noun if of == 1 else several}"
    return f"{what} {verb if n == 1 else _PLURALS[verb]}" if verb else what


def number(metric: Metric, value: float) -> str:
    """Return a score without its unit."""
    return f"{value:.3f}" if metric == "log-loss" else percent(value)


def unit(metric: Metric) -> str:
    """Return the unit of a score."""
    return "nats" if metric == "log-loss" else "%"


def figure(metric: Metric, value: float) -> str:
    """Return a score with its unit."""
    return f"{number(metric, value)} {unit(metric)}"


def interval(metric: Metric, low: float | None, high: float | None) -> str:
    """Return an interval of a score, without its unit."""
    return "none" if low is None or high is None else f"{number(metric, low)} to {number(metric, high)}"


def interval_in_words(metric: Metric, low: float | None, high: float | None) -> str:
    """Return ``95 % interval 73.5 to 100``, or that there is none."""
    return "no interval" if low is None else f"95 % interval {interval(metric, low, high)}"


def with_interval(metric: Metric, value: float, low: float | None, high: float | None) -> str:
    """Return ``97.2 % (95 % interval 93.1 to 99.2)``."""
    return f"{figure(metric, value)} ({interval_in_words(metric, low, high)})"


def difference(metric: Metric, loss: float) -> str:
    """Return a difference of two losses or scores, without its unit; nothing is written as ``-0.0``."""
    text = f"{loss:.3f}" if metric == "log-loss" else f"{100 * loss:.1f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def difference_unit(metric: Metric) -> str:
    """Return the unit of a difference: a point is a hundredth."""
    return "nats" if metric == "log-loss" else "points"


def points(metric: Metric, loss: float) -> str:
    """Return a difference with its unit."""
    return f"{difference(metric, loss)} {difference_unit(metric)}"


def seconds(duration: float) -> str:
    """Return a duration with its unit."""
    if duration < 0.05:
        return "under 0.1 s"
    return f"{duration:.1f} s" if duration < 100 else f"{duration:,.0f} s"
