"""Advice as the report draws it: the four situations with the ladder of reference sets, and the learning curve."""

from __future__ import annotations

import math

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.models.ui import UIElement

from graftwork.core.advice import DIFFERENT_ENTROPY, ENTROPIES, LARGE_PER_CLASS, SIZES, Advice
from graftwork.reporting.charts import FONT, named_ticks, plain
from graftwork.reporting.colours import light

APART = 0.07
"""Share of the ladder by which the names of two rungs must be apart to be written both."""


def situation_chart(advice: Advice) -> UIElement:
    """Size from left to right, difference from the source upwards: four situations, and the place of the images."""
    plot = plain(height=420, x_axis_type="log", y_axis_type="log", x_range=_span(*SIZES), y_range=_span(*ENTROPIES))
    plot.grid.grid_line_color = None
    plot.xaxis.axis_label = "independent images a class"
    plot.yaxis.axis_label = "less similar to the source \N{RIGHTWARDS ARROW}"
    plot.line([LARGE_PER_CLASS] * 2, ENTROPIES, line_color=light("muted"), line_dash="dashed")
    plot.line(SIZES, [DIFFERENT_ENTROPY] * 2, line_color=light("muted"), line_dash="dashed")
    for size, left in (("small", SIZES[0]), ("large", LARGE_PER_CLASS)):
        for similarity, bottom in (("similar", ENTROPIES[0]), ("different", DIFFERENT_ENTROPY)):
            here = (size, similarity) == (advice.situation.size, advice.situation.similarity)
            plot.text(
                [1.25 * left], [1.08 * bottom], [f"{size}, {similarity}"], text_font=value(FONT),
                text_font_size="13px", text_font_style="bold" if here else "normal",
                text_color=light("ink" if here else "muted"),
            )  # fmt: skip
    named_ticks(plot.xaxis, {n: f"{n:,.0f}" for n in (1.0, 10.0, 100.0, 1000.0, 10_000.0)}, 8)
    named_ticks(plot.yaxis, _names(advice), 34)
    x = min(max(advice.size.effective_per_class, SIZES[0]), SIZES[1])
    y = min(max(advice.similarity.entropy, ENTROPIES[0]), ENTROPIES[1])
    source = ColumnDataSource(
        {"x": [x], "y": [y], "n": [advice.size.effective_per_class], "entropy": [advice.similarity.entropy]}
    )
    dot = plot.scatter("x", "y", source=source, size=15, fill_color=light("accent"), line_color=light("panel"))
    tips = [("independent images a class", "@n{0.0}"), ("entropy", "@entropy{0.00} nats")]
    plot.add_tools(HoverTool(renderers=[dot], tooltips=tips))
    return plot


def _span(low: float, high: float) -> Range1d:
    return Range1d(start=low, end=high)


def _names(advice: Advice) -> dict[float, str]:
    """The rungs whose names have room on the axis; those next to the images come first."""
    place = advice.place
    near = [rung for rung in (place.nearer, place.farther) if rung is not None]
    names: dict[float, str] = {}
    span = math.log(ENTROPIES[1] / ENTROPIES[0])
    for rung in (*near, *advice.ladder):
        if all(abs(math.log(rung.entropy / other)) > APART * span for other in names):
            names[rung.entropy] = rung.name
    return names


def curve_chart(advice: Advice) -> UIElement:
    """Accuracy of a linear classifier by the number of images, and what twice as many are expected to give."""
    numbers = [float(n) for n, _ in advice.curve.points]
    scores = [100 * score for _, score in advice.curve.points]
    doubled = advice.curve.doubled
    ends = [] if doubled is None else [scores[-1] + doubled.low, scores[-1] + doubled.high]
    low, high = min([*scores, *ends]), max([*scores, *ends])
    plot = plain(
        height=300,
        x_axis_type="log",
        x_range=_span(numbers[0] / 1.3, numbers[-1] * 2.6),
        y_range=_span(low - 2, min(high + 2, 101)),
    )
    plot.xgrid.grid_line_color = None
    plot.xaxis.axis_label, plot.yaxis.axis_label = "images trained on", "accuracy, %"
    after = [] if doubled is None else [2 * numbers[-1]]
    named_ticks(plot.xaxis, {n: f"{n:,.0f}" for n in [*numbers, *after]}, 12)
    source = ColumnDataSource({"x": numbers, "y": scores})
    plot.line("x", "y", source=source, line_color=light("accent"), line_width=2)
    dots = plot.scatter("x", "y", source=source, size=8, fill_color=light("accent"), line_color=light("accent"))
    plot.add_tools(HoverTool(renderers=[dots], tooltips=[("images", "@x{0}"), ("accuracy", "@y{0.0} %")]))
    if doubled is not None:
        x, y = 2 * numbers[-1], scores[-1] + doubled.points
        plot.line([numbers[-1], x], [scores[-1], y], line_color=light("accent"), line_dash="dashed")
        plot.segment([x], [scores[-1] + doubled.low], [x], [scores[-1] + doubled.high], line_color=light("accent"))
        plot.scatter([x], [y], size=9, fill_color=light("panel"), line_color=light("accent"))
    return plot
