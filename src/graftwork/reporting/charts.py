"""The charts, by bokeh: each function takes a run and returns a figure that needs nothing but bokeh's own script."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.layouts import column
from bokeh.models import BasicTicker, ColumnDataSource, FixedTicker, HoverTool, PlainText, Range1d
from bokeh.models.ui import UIElement
from bokeh.plotting import figure

from graftwork.core.choose import Verdict
from graftwork.core.figures import interval, percent, unit
from graftwork.core.intervals import clopper_pearson
from graftwork.core.metrics import Calibration, calibration, confusion
from graftwork.core.record import Projection, Run
from graftwork.core.trials import Trial
from graftwork.reporting import words
from graftwork.reporting.colours import class_colour, light, marker_of
from graftwork.reporting.evidence import before_temperature, labels, predictions, scored
from graftwork.reporting.layers import DASHES, SERIES, layer_axis, linear_series, score_range
from graftwork.reporting.tunings import Cuts, on_fewer

NAMED_TICKS = 40
"""Maximum number of classes whose names are written next to the confusion matrix; with more, hovering shows them."""
COUNTED_CELLS = 20
"""Maximum number of classes whose counts are written into the confusion matrix."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def plain(**options: Any) -> figure:
    """Return an empty figure in the page's colours, without a toolbar, so that scrolling the page scrolls the page."""
    plot = figure(
        tools="",
        toolbar_location=None,
        sizing_mode="stretch_width",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **options,
    )
    plot.axis.axis_line_color = light("line")
    plot.axis.major_tick_line_color = None
    plot.axis.minor_tick_line_color = None
    plot.axis.major_label_text_color = light("muted")
    plot.axis.major_label_text_font = FONT
    plot.axis.major_label_text_font_size = "12px"
    plot.axis.axis_label_text_color = light("muted")
    plot.axis.axis_label_text_font = FONT
    plot.axis.axis_label_text_font_size = "12.5px"
    plot.axis.axis_label_text_font_style = "normal"
    plot.grid.grid_line_color = light("line")
    return plot


def named_ticks(axis: Any, names: Mapping[float, str], length: int) -> None:
    """Write names, shortened to ``length`` characters, at places of an axis."""
    axis.ticker = FixedTicker(ticks=list(names))
    axis.major_label_overrides = {at: PlainText(text=words.shortened(name, length)) for at, name in names.items()}


def layer_chart(verdict: Verdict, trials: Sequence[Trial]) -> UIElement:
    """Accuracy of the linear classifiers by layer with intervals, the baselines as lines."""
    at, series = layer_axis(trials), linear_series(trials)
    left, right = -0.6, max(at.values()) + 0.6
    plot = _scores(verdict, [i for mine in series.values() for i in mine], left, right)
    named_ticks(plot.xaxis, {x: name for name, x in at.items()}, 20)
    plot.xaxis.major_label_orientation = 0.7 if len(at) > 4 or max(map(len, at)) > 12 else 0.0
    for s, (mine, (token, marker)) in enumerate(zip(series.values(), SERIES, strict=False)):
        offset = 0.16 * (s - (len(series) - 1) / 2)
        _whiskers(plot, verdict, trials, mine, [at[trials[i].candidate.layer] + offset for i in mine], token, marker)
    return plot


def cut_chart(verdict: Verdict, trials: Sequence[Trial], lines: Cuts) -> UIElement:
    """Score by the share that is frozen: a line for linear classifiers on that layer, one for fine-tuning above it."""
    plot = _scores(verdict, [i for points in lines.values() for _, i in points], -0.04, 1.04)
    plot.xaxis.axis_label = "frozen up to (share of the depth)"
    tuned = {d: i for points in lines.values() for d, i in points if trials[i].candidate.plan.kind != "linear"}
    every = {d: i for points in lines.values() for d, i in points}
    names = {
        d: f"{words.shortened(trials[i].candidate.layer, 16)}, {100 * d:.0f} %"
        for d, i in _spaced(tuned | every).items()
    }
    named_ticks(plot.xaxis, names, 24)
    plot.xaxis.major_label_orientation = 0.7
    for s, (points, (token, marker)) in enumerate(zip(lines.values(), SERIES, strict=False)):
        mine, x = [i for _, i in points], [d + 0.012 * (s - (len(lines) - 1) / 2) for d, _ in points]
        y = [_scale(verdict) * verdict.rows[i].score for i in mine]
        same_images = [not on_fewer(verdict, trials, i) for i in mine]  # scores on other images join no line
        plot.line(
            list(itertools.compress(x, same_images)),
            list(itertools.compress(y, same_images)),
            line_color=light(token),
            line_width=2,
        )
        _whiskers(plot, verdict, trials, mine, x, token, marker)
    return plot


def _spaced(at: Mapping[float, int]) -> dict[float, int]:
    """The items whose names have room next to each other, the first ones first."""
    spaced: dict[float, int] = {}
    for x, item in at.items():
        if all(abs(x - other) > 0.05 for other in spaced):
            spaced[x] = item
    return spaced


def learning_chart(curves: Mapping[str, Trial]) -> UIElement:
    """Log loss on validation images after each epoch of each fine-tuning; the training loss is a thinner line."""
    plot = plain(height=340)
    plot.xaxis.axis_label, plot.yaxis.axis_label = "epochs", "log loss, nats"
    plot.xaxis.ticker = BasicTicker(min_interval=1)
    plot.xgrid.grid_line_color = None
    for (name, trial), (token, marker) in zip(curves.items(), SERIES, strict=False):
        training, validation = (list(losses) for losses in zip(*trial.curve, strict=True))
        epochs = list(range(1, len(training) + 1))
        plot.line(epochs, training, line_color=light(token), line_width=1, line_dash="dotted")
        plot.line(epochs, validation, line_color=light(token), line_width=2.4)
        source = ColumnDataSource({"epoch": epochs, "training": training, "validation": validation})
        dots = plot.scatter("epoch", "validation", source=source, marker=marker, size=6, fill_color=light(token),
                            line_color=light(token))  # fmt: skip
        tips = [("", words.one_line(name).replace("@", "@@")), ("epoch", "@epoch"),
                ("validation loss", "@validation{0.000}"), ("training loss", "@training{0.000}")]  # fmt: skip
        plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    return plot


def _scores(verdict: Verdict, shown: Sequence[int], left: float, right: float) -> figure:
    """An empty chart of scores that holds these candidates, the baselines as lines across it."""
    scale = _scale(verdict)
    low, high = (scale * edge for edge in score_range(verdict, shown))
    plot = plain(height=380, x_range=Range1d(start=left, end=right), y_range=Range1d(start=low, end=high))
    plot.yaxis.axis_label = f"{words.METRIC_NAMES[verdict.metric]}, {unit(verdict.metric)} ({words.SELECTED})"
    plot.xgrid.grid_line_color = None
    for dash, row in zip(DASHES, verdict.baselines, strict=False):
        y = scale * row.score
        if low <= y <= high:
            plot.segment(left, y, right, y, line_color=light("muted"), line_dash=dash, line_width=1.5)
    return plot


def _scale(verdict: Verdict) -> float:
    return 1.0 if verdict.metric == "log-loss" else 100.0


def _whiskers(
    plot: figure,
    verdict: Verdict,
    trials: Sequence[Trial],
    mine: Sequence[int],
    x: Sequence[float],
    token: str,
    marker: str,
) -> None:
    metric, rows, scale = verdict.metric, verdict.rows, _scale(verdict)
    source = ColumnDataSource(
        {
            "x": list(x),
            "score": [scale * rows[i].score for i in mine],
            "low": [scale * rows[i].span[0] for i in mine],
            "high": [scale * rows[i].span[1] for i in mine],
            "label": [words.one_line(rows[i].label) for i in mine],
            "figure": [words.figure(metric, rows[i].score) for i in mine],
            "interval": [interval(metric, rows[i].low, rows[i].high) for i in mine],
            "outcome": [words.outcome(verdict, trials, i) for i in mine],
            "fill": [0.0 if on_fewer(verdict, trials, i) else 1.0 for i in mine],
        }
    )
    plot.segment("x", "low", "x", "high", source=source, line_color=light(token), line_width=1.6)
    dots = plot.scatter(
        "x", "score", source=source, marker=marker, size=9, fill_color=light(token), fill_alpha="fill",
        line_color=light(token),
    )  # fmt: skip
    tips = [("", "@label"), ("score", "@figure"), ("95 %", "@interval"), ("", "@outcome")]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    if verdict.chosen in mine:
        here = list(mine).index(verdict.chosen)
        y = scale * rows[verdict.chosen].score
        plot.scatter([x[here]], [y], marker="circle", size=20, fill_color=None, line_color=light("ink"), line_width=1.6)


def confusion_chart(run: Run) -> UIElement:
    """Counts of true against predicted classes; hits in one colour, mistakes in another."""
    images, k = scored(run), len(run.classes)
    counts = confusion(images.y, images.predicted, k)
    true, predicted = np.nonzero(counts)
    cells = counts[true, predicted]
    share = cells / counts.sum(axis=1)[true]
    source = ColumnDataSource(
        {
            "true": true,
            "predicted": predicted,
            "count": cells,
            "alpha": np.maximum(np.sqrt(share), 0.25 if k <= NAMED_TICKS else 0.45),  # a single mistake stays visible
            "colour": np.where(true == predicted, light("hit"), light("miss")).tolist(),
            "text_colour": np.where(share > 0.7, light("on_cell"), light("ink")).tolist(),
            "true_name": [words.one_line(run.classes[c]) for c in true],
            "predicted_name": [words.one_line(run.classes[c]) for c in predicted],
            "share": [f"{percent(s)} % of this class" for s in share],
        }
    )
    edges = Range1d(start=-0.5, end=k - 0.5), Range1d(start=k - 0.5, end=-0.5)
    plot = plain(x_range=edges[0], y_range=edges[1], aspect_ratio=1, x_axis_location="above", min_border_right=12)
    plot.sizing_mode = "scale_width"
    plot.background_fill_color = light("field")
    plot.grid.grid_line_color = None
    side = 0.94 if k <= NAMED_TICKS else 1.0
    boxes = plot.rect(
        "predicted", "true", side, side, source=source, fill_color="colour", fill_alpha="alpha", line_color=None
    )
    plot.add_tools(
        HoverTool(
            renderers=[boxes],
            tooltips=[("true", "@true_name"), ("predicted", "@predicted_name"), ("images", "@count (@share)")],
        )
    )
    plot.xaxis.axis_label, plot.yaxis.axis_label = "predicted", "true"
    if k <= COUNTED_CELLS:
        size = "13px" if k <= 10 else "10px"
        style: dict[str, Any] = {"text_align": "center", "text_baseline": "middle", "text_font_size": size}
        plot.text("predicted", "true", "count", source=source, text_color="text_colour", text_font=value(FONT), **style)
    if k <= NAMED_TICKS:
        names = {float(c): name for c, name in enumerate(run.classes)}
        for axis in (plot.xaxis, plot.yaxis):
            named_ticks(axis, names, 14)
            axis.major_label_text_font_size = "12px" if k <= 20 else "9px"
        plot.xaxis.major_label_orientation = 0.0 if k * max(map(len, run.classes)) < 40 else 0.9
    else:
        plot.axis.major_label_text_color = None
    return plot


def projection_chart(run: Run, projection: Projection, thumbnails: Mapping[int, str]) -> UIElement:
    """The codes in two dimensions, coloured by class, mistakes ringed; ``thumbnails`` are data URIs by row."""
    rows, given = projection.rows, labels(run)[projection.rows]
    everywhere, confidence = predictions(run)
    predicted = everywhere[rows]
    wrong = (predicted >= 0) & (predicted != given)
    source = ColumnDataSource(
        {
            "x": projection.xy[:, 0],
            "y": projection.xy[:, 1],
            "class": given,
            "colour": [class_colour(int(c)) for c in given],
            "marker": [marker_of(int(c)) for c in given],
            "alpha": np.full(len(rows), 0.85),
            "ring": np.where(wrong, 0.9, 0.0),
            "name": [words.one_line(run.images.names[r]) for r in rows],
            "label": [words.one_line(run.images.labels[r]) for r in rows],
            "prediction": [
                _prediction(run, int(c), float(s)) for c, s in zip(predicted, confidence[rows], strict=True)
            ],
            "thumbnail": [f'<img src="{thumbnails[r]}" width="96" alt="">' if r in thumbnails else "" for r in rows],
        },
        name="projection",
    )
    plot = plain(height=560)
    plot.axis.visible = False
    plot.grid.grid_line_color = None
    size = 9 if len(rows) <= 600 else 7
    plot.scatter("x", "y", source=source, size=size + 6, fill_color=None, line_color=light("ink"), line_alpha="ring")
    dots = plot.scatter(
        "x", "y", source=source, marker="marker", size=size, fill_color="colour", line_color="colour",
        fill_alpha="alpha", line_alpha="alpha",
    )  # fmt: skip
    tip = (
        '<div class="tip" style="max-width:240px;overflow-wrap:anywhere">@thumbnail{safe}<div><b>@label</b>, '
        "@prediction</div><div>@name</div></div>"
    )
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tip), "box_zoom", "pan", "wheel_zoom", "reset")
    plot.toolbar_location = "above"
    plot.toolbar.logo = None
    plot.toolbar.active_drag = None
    plot.toolbar.active_scroll = None
    return plot


def _prediction(run: Run, predicted: int, confidence: float) -> str:
    if predicted < 0:
        return "not predicted"
    return f"predicted {words.one_line(run.classes[predicted])} ({words.probability(confidence)})"


def calibration_chart(run: Run) -> UIElement:
    """Reliability with exact intervals above, the number of images in each bin below."""
    images = scored(run)
    after, before = calibration(images.y, images.probabilities), before_temperature(run)
    plot = plain(height=340, x_range=Range1d(start=-2, end=103), y_range=Range1d(start=-4, end=104), min_border_left=56)
    plot.line([0, 100], [0, 100], line_color=light("muted"), line_dash="dashed")
    plot.yaxis.axis_label = "accuracy, %"
    if before is not None:
        plot.line(100 * before.confidence, 100 * before.accuracy, line_color=light("second"), line_alpha=0.6)
        plot.scatter(100 * before.confidence, 100 * before.accuracy, marker="square", size=7, fill_color=None,
                     line_color=light("second"))  # fmt: skip
    source = _bins(after)
    plot.segment("x", "low", "x", "high", source=source, line_color=light("accent"), line_width=1.6)
    dots = plot.scatter("x", "y", source=source, size=9, fill_color=light("accent"), line_color=light("panel"))
    tips = [
        ("confidence", "@x{0.0} %"),
        ("accuracy", "@y{0.0} %"),
        ("95 %", "@low{0.0} to @high{0.0}"),
        ("images", "@count"),
    ]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    top = Range1d(start=0, end=1.1 * float(after.count.max()))
    counts = plain(height=130, x_range=plot.x_range, y_range=top, min_border_left=56)
    counts.yaxis.ticker = BasicTicker(desired_num_ticks=3)
    counts.vbar("x", 4, "count", source=source, fill_color=light("accent"), fill_alpha=0.55, line_color=None)
    counts.xaxis.axis_label, counts.yaxis.axis_label = "confidence, %", "images"
    counts.xgrid.grid_line_color = None
    return column(plot, counts, sizing_mode="stretch_width")


def _bins(measured: Calibration) -> ColumnDataSource:
    hits = np.rint(measured.accuracy * measured.count).astype(int)
    spans = [clopper_pearson(int(h), int(n)) for h, n in zip(hits, measured.count, strict=True)]
    return ColumnDataSource(
        {
            "x": 100 * measured.confidence,
            "y": 100 * measured.accuracy,
            "low": [100 * low for low, _ in spans],
            "high": [100 * high for _, high in spans],
            "count": measured.count,
        }
    )


def seconds_chart(stage_seconds: Mapping[str, float]) -> UIElement:
    """Wall-clock seconds of each stage, the first on top."""
    names, seconds = list(stage_seconds), list(stage_seconds.values())
    places = list(range(len(names)))
    plot = plain(
        height=46 + 34 * len(names),
        y_range=Range1d(start=len(names) - 0.5, end=-0.5),
        x_range=Range1d(start=0, end=max([*seconds, 1e-3]) * 1.18),
    )
    plot.hbar(places, height=0.6, right=seconds, fill_color=light("accent"), fill_alpha=0.75, line_color=None)
    texts = [words.seconds(s) for s in seconds]
    plot.text(seconds, places, texts, x_offset=6, text_baseline="middle", text_font_size="12px", text_font=value(FONT),
              text_color=light("ink"))  # fmt: skip
    named_ticks(plot.yaxis, {float(i): name for i, name in enumerate(names)}, 26)
    plot.xaxis.axis_label = "seconds"
    plot.ygrid.grid_line_color = None
    return plot
