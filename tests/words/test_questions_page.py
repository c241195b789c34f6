"""The figures of ``docs/questions.md`` are those that the table of strategies gives."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = " ".join((ROOT / "docs" / "questions.md").read_text().split())
CELLS: list[dict[str, Any]] = [
    json.loads(line) for line in (ROOT / "benchmarks" / "results" / "strategies.jsonl").read_text().splitlines()
]
LAST, BEST, TUNED, VIEWS = "linear, last layer", "linear, best layer", "all layers tuned", "linear, 8 views"
EMBEDDED = [
    cell for cell in CELLS if cell["backbone"] == "efficientnet_lite0" and cell["set"] != "tiny-imagenet"
]  # of nine sets, as the page says


def percent(cells: Iterable[dict[str, Any]], strategy: str) -> float:
    """Mean test accuracy."""
    return fmean(cell["strategies"][strategy]["percent"] for cell in cells)


@pytest.mark.parametrize(("size", "words"), [("5", "5"), ("20", "20"), ("all", "all that the set has")])
def test_accuracy_by_number_of_images(size: str, words: str) -> None:
    cells = [cell for cell in EMBEDDED if cell["size"] == size]
    assert len(cells) == 27
    figures = " | ".join(f"{percent(cells, strategy):.1f} %" for strategy in (LAST, BEST, TUNED))
    assert f"| {words} | {figures} |" in PAGE


def test_how_much_sets_differ() -> None:
    by_set = {
        name: percent([cell for cell in EMBEDDED if (cell["set"], cell["size"]) == (name, "5")], TUNED)
        for name in {cell["set"] for cell in EMBEDDED}
    }
    lowest, highest = min(by_set, key=by_set.__getitem__), max(by_set, key=by_set.__getitem__)
    assert f"from {by_set[lowest]:.0f} % ({lowest}) to {by_set[highest]:.0f} % ({highest}) at five per class" in PAGE


def test_what_fine_tuning_gains_with_all_images() -> None:
    cells = [cell for cell in CELLS if cell["size"] == "all"]
    wins = sum(percent([cell], TUNED) > percent([cell], LAST) for cell in cells)
    gain, behind = (percent(cells, TUNED) - percent(cells, strategy) for strategy in (LAST, VIEWS))
    assert f"On {len(cells)} combinations of set, network and seed with all images" in PAGE
    assert f"beat the last layer's linear model {wins} times, by {gain:.1f} points in the mean" in PAGE
    assert f"over 8 views came within {behind:.1f} points of that" in PAGE
