"""Draw which strategy wins where: each cell's gain over the last layer's linear model, and means with intervals.

    pip install -e '.[bench]'
    python benchmarks/plot_strategies.py

Reads ``results/strategies.jsonl``, writes ``results/strategies.svg``.
"""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from write_results import LAST, RESULTS, gains_by_size, half_interval, means_of_sets, read

SIZES = ("5", "20", "all")
DOTS = {"efficientnet_lite0": "#4477aa", "mobilenetv2_100": "#ee6677"}
"""A colour per backbone, from Paul Tol's palette for colour-blind readers."""
SPREAD = 0.16


def main() -> None:
    cells = read("strategies.jsonl")
    gains = gains_by_size(cells, LAST)
    sizes = [size for size in SIZES if size in gains]
    mpl.rcParams |= {"svg.hashsalt": "graftwork", "font.size": 9}
    names = [name for name in dict.fromkeys(name for size in sizes for name in gains[size]) if name != LAST]
    figure, axes = plt.subplots(
        1,
        len(sizes),
        sharey=True,
        sharex=True,
        figsize=(3.2 * len(sizes) + 1.5, 0.34 * len(names) + 1.4),
        squeeze=False,
    )
    for axis, size in zip(axes[0], sizes, strict=True):
        axis.axvline(0, color="#888888", linewidth=0.8)
        for row, name in enumerate(names):
            at = gains[size].get(name, [])
            spread = np.linspace(-SPREAD, SPREAD, max(len(at), 2))
            for gain, offset in zip(at, spread, strict=False):
                axis.plot(gain.points, row + offset, "o", color=DOTS[gain.backbone], markersize=3.5, alpha=0.7)
            points = means_of_sets(at)
            if len(points) > 2:  # of two sets the interval is wider than everything drawn
                axis.errorbar(
                    np.mean(points), row + 0.33, xerr=half_interval(points), fmt="D", color="black", markersize=4
                )
        axis.set_title(
            f"{size} per class ({len(gains[size][LAST])} cells)"
            if size != "all"
            else f"all images ({len(gains[size][LAST])} cells)"
        )
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].invert_yaxis()
    figure.supxlabel("points gained over a linear model on the last layer (diamond: mean of sets, 95 % interval)")
    dots = [plt.Line2D([], [], marker="o", linestyle="", color=colour, label=name) for name, colour in DOTS.items()]
    figure.legend(handles=dots, loc="outside upper center", ncols=2, frameon=False)
    figure.set_layout_engine("constrained")
    figure.savefig(RESULTS / "strategies.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
