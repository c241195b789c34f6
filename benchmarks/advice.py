"""Fit the forecast of what each strategy gains, and judge it with every data set left out in turn.

    python benchmarks/advice.py [--strategies FILE]

Reads ``results/strategies.jsonl`` and ``results/similarity.json``; writes ``results/advice.json`` and the table that the
package brings (``src/graftwork/advice/table.json``). A unit is a data set, a size and a network, its seeds averaged.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from datasets import path_of
from machine import describe
from scipy.stats import spearmanr

from graftwork.advice.similarity import DIGEST_LENGTH
from graftwork.core.advice import Coefficients
from graftwork.images.read import read_images

RESULTS = Path(__file__).parent / "results"
TABLE = Path(__file__).resolve().parents[1] / "src" / "graftwork" / "advice" / "table.json"
STRATEGIES = {
    "best layer": "linear, best layer",
    "several views": "linear, 8 views",
    "tuned above a cut": "tuned above blocks.4",
    "tuned above the lowest": "tuned above blocks.1",
    "all layers tuned": "all layers tuned",
    "smaller input": "tuned above blocks.1 at 64 px",
}
LAST = "linear, last layer"
LADDER = {
    "hymenoptera": "photographs of ants and bees",
    "dogcat": "photographs of cats and dogs",
    "trashnet": "waste on a white ground",
    "xray": "chest X-rays",
    "cifar10": "photographs of 32 x 32 pixels",
    "gtsrb": "traffic signs cut from films",
    "cells": "stained blood cells",
    "rsscn7": "aerial scenes",
    "pacs-sketch": "line drawings",
    "digits": "handwritten digits",
    "neu-steel": "surfaces of rolled steel",
}
DIGESTS = 16
COVERAGE = 0.8


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """The units in which all strategies were run, (m,) each."""

    sets: np.ndarray
    sizes: np.ndarray
    networks: np.ndarray
    error: np.ndarray
    """Share that the last layer misclassifies."""
    per_class: np.ndarray
    entropy: np.ndarray
    gains: dict[str, np.ndarray]
    """In points over the last layer, by strategy."""

    def design(self) -> np.ndarray:
        """(m, 4) what the gain in points is a linear function of."""
        columns = [np.ones(len(self.error)), np.log2(self.entropy), np.log2(self.per_class), self.error]
        return 100 * self.error[:, None] * np.stack(columns, axis=1)


def units(lines: list[dict], entropy: dict[str, float]) -> Units:
    by_unit: dict[tuple[str, str, str], list[dict]] = defaultdict(list)
    for line in lines:
        by_unit[line["set"], line["size"], line["backbone"]].append(line)
    keys = sorted(by_unit)
    classes = {name: len(read_images(path_of(name)).classes) for name in {key[0] for key in keys}}

    def mean(key: tuple[str, str, str], strategy: str) -> float:
        values = [line["strategies"][strategy]["percent"] for line in by_unit[key] if strategy in line["strategies"]]
        return float(np.mean(values)) if values else float("nan")

    last = np.array([mean(key, LAST) for key in keys])
    return Units(
        sets=np.array([key[0] for key in keys]),
        sizes=np.array([key[1] for key in keys]),
        networks=np.array([key[2] for key in keys]),
        error=1 - last / 100,
        per_class=np.array([np.mean([line["train"] for line in by_unit[key]]) / classes[key[0]] for key in keys]),
        entropy=np.array([entropy[key[0]] for key in keys]),
        gains={name: np.array([mean(key, label) for key in keys]) - last for name, label in STRATEGIES.items()},
    )


def left_out(of: Units, gain: np.ndarray) -> np.ndarray:
    """(m,) gain of each unit, forecast by the units of all other data sets."""
    design, forecast = of.design(), np.zeros(len(gain))
    for name in np.unique(of.sets):
        others = of.sets != name
        weights, *_ = np.linalg.lstsq(design[others], gain[others], rcond=None)
        forecast[~others] = design[~others] @ weights
    return forecast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", type=Path, default=RESULTS / "strategies.jsonl")
    options = parser.parse_args()
    similarity = json.loads((RESULTS / "similarity.json").read_text())["sets"]
    lines = [json.loads(line) for line in options.strategies.read_text().splitlines()]
    of = units(lines, {name: row["entropy"] for name, row in similarity.items()})
    table: dict[str, dict] = {}
    report: dict[str, dict] = {}
    for name, gain in of.gains.items():
        if np.isnan(gain).any():
            continue
        weights, *_ = np.linalg.lstsq(of.design(), gain, rcond=None)
        error = np.abs(left_out(of, gain) - gain)
        half = float(np.quantile(error, COVERAGE))
        table[name] = dataclasses.asdict(Coefficients(*(round(float(w), 4) for w in weights), round(half, 2)))
        report[name] = {
            "mean_absolute_error": {
                size: round(float(error[of.sizes == size].mean()), 2) for size in ("5", "20", "all")
            },
            "without_similarity": {
                size: round(float(np.abs(gain - gain.mean())[of.sizes == size].mean()), 2)
                for size in ("5", "20", "all")
            },
            "half_width": round(half, 2),
        }
        print(name, report[name])
    share = of.gains["all layers tuned"] / (100 * of.error)
    correlations = {
        measure: {
            size: round(float(spearmanr(
                [similarity[name][measure] for name in of.sets[of.sizes == size]], share[of.sizes == size]
            ).statistic), 2)
            for size in ("5", "20", "all")
        }
        for measure in ("entropy", "energy", "confidence", "nearest", "norm", "class_entropy")
    }  # fmt: skip
    rungs = [
        {
            "name": words,
            "entropy": round(similarity[name]["entropy"], 3),
            "digests": sorted(str(digest)[:DIGEST_LENGTH] for digest in read_images(path_of(name)).digests)[:DIGESTS],
        }
        for name, words in LADDER.items()
    ]
    TABLE.write_text(json.dumps({"gains": table, "ladder": rungs}, indent=1) + "\n")
    result = {"units": len(of.sets), "forecasts": report, "rank_correlations": correlations, "machine": describe()}
    (RESULTS / "advice.json").write_text(json.dumps(result, indent=1) + "\n")
    print(correlations)


if __name__ == "__main__":
    main()
