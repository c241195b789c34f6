"""Draw the four situations of the CS231n note: what each strategy gains over the last layer, and what the rule says.

    pip install -e '.[bench]'
    python benchmarks/plot_quadrants.py

Reads ``results/advice.json``, writes ``results/quadrants.svg``.
"""

from __future__ import annotations

import matplotlib as mpl
from matplotlib import pyplot as plt
from write_results import RESULTS, read

PLACES = {
    "small, different": (0, 0), "large, different": (0, 1), "small, similar": (1, 0), "large, similar": (1, 1),
}  # fmt: skip
"""As on the axes of the note: size from left to right, difference from the source upwards."""


def main() -> None:
    data = read("advice.json")
    mpl.rcParams |= {"svg.hashsalt": "graftwork", "font.size": 9}
    figure, axes = plt.subplots(2, 2, sharex=True, sharey=True, figsize=(9, 5.2))
    for name, (row, column) in PLACES.items():
        axis, here = axes[row, column], data["quadrants"].get(name)
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.set_title(name, fontsize=10, fontweight="bold")
        if here is None:
            axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color="#666666")
            continue
        strategies = list(here["gains"])
        for y, strategy in enumerate(strategies):
            gain = here["gains"][strategy]
            colour = "#ee6677" if strategy == here["rule"] else "#4477aa"
            if gain["sets"] > 2 and strategy != "last layer":
                axis.plot([gain["low"], gain["high"]], [y, y], color=colour, linewidth=1.6)
            axis.plot(gain["mean"], y, "o", color=colour, markersize=6)
        axis.set_yticks(range(len(strategies)), strategies)
        axis.text(
            0.98, 0.9, f"{here['units']} units of {len(here['sets'])} sets", transform=axis.transAxes, ha="right",
            color="#666666", fontsize=8,
        )  # fmt: skip
    axes[0, 0].invert_yaxis()
    for axis in axes[1]:
        axis.set_xlabel("points over a linear classifier on the last layer")
    figure.text(0.01, 0.01, "red: what the rule of thumb says; lines: 95 % intervals over sets, where three or more have it",
                fontsize=8, color="#666666")  # fmt: skip
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(RESULTS / "quadrants.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
