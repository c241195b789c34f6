"""Fit the forecast of what each strategy gains, and judge it with every data set left out in turn.

    python benchmarks/advice.py [--strategies FILE]

Reads ``results/strategies.jsonl`` and ``results/similarity.json``; writes ``results/advice.json`` and the table that the
package brings (``src/graftwork/advice/table.json``). A unit is a data set, a size and a network, its seeds averaged.
Whatever is said of a set was fitted without it, half-widths of intervals too. Intervals are those of Student's t over
the means of data sets, or bootstraps over data sets for rank correlations.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from datasets import SHARED, path_of
from machine import describe
from scipy.stats import spearmanr, t

from graftwork.advice.similarity import DIGEST_LENGTH
from graftwork.core.advice import (
    RULE,
    Coefficients,
    Expectation,
    Gain,
    expected_gain,
    recommended_of,
    situation_of,
)
from graftwork.core.options import ExtractionOptions
from graftwork.images.read import read_images
from graftwork.steps.backbones import open_backbone

RESULTS = Path(__file__).parent / "results"
TABLE = Path(__file__).resolve().parents[1] / "src" / "graftwork" / "advice" / "table.json"
STRATEGIES = {
    "last layer": "linear, last layer",
    "best layer": "linear, best layer",
    "several views": "linear, 8 views",
    "tuned above a cut": "tuned above blocks.4",
    "tuned above a cut, several views": "tuned above blocks.4, 8 views",
    "all layers tuned": "all layers tuned",
    "all layers tuned, several views": "all layers tuned, 8 views",
}
"""Those whose forecast is fitted; others follow one of them (``core.advice.OVER_ALL_LAYERS``)."""
MEASURES = (
    "entropy", "energy", "confidence", "nearest", "norm", "class_entropy", "frechet", "transport", "unbalanced transport",
)  # fmt: skip
SIZES = ("5", "20", "all")
LADDER = {
    "hymenoptera": "photographs of ants and bees",
    "dogcat": "photographs of cats and dogs",
    "trashnet": "waste on a white ground",
    "xray": "chest X-rays",
    "tiny-imagenet": "photographs of 64 x 64 pixels",
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
PRIOR_UNITS = 3.0
"""Of 0, 0.3, 1, 3, 10, 30 the one with the smallest error with sets left out, on the table of the recipe before."""
DRAWS = 2000


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
    """In points over the last layer, by strategy; NaN where it was not run."""
    seconds: dict[str, np.ndarray]
    """Of one core, by strategy."""
    depth: np.ndarray
    """Of the best layer by cross-validation, mean over seeds; NaN where several were chosen together."""

    @property
    def strategies(self) -> list[str]:
        """Those that were run in every unit, the last layer first."""
        return [
            "last layer",
            *(name for name, gain in self.gains.items() if name != "last layer" and not np.isnan(gain).any()),
        ]

    def facts(self) -> np.ndarray:
        """(m, 3) what the share of errors that a strategy removes is a linear function of."""
        return np.stack([np.log2(self.entropy), np.log2(self.per_class), self.error], axis=1)


def units(lines: list[dict], entropy: dict[str, float]) -> Units:
    by_unit: dict[tuple[str, str, str], list[dict]] = defaultdict(list)
    for line in lines:
        by_unit[line["set"], line["size"], line["backbone"]].append(line)
    keys = sorted(by_unit)
    classes = {name: len(read_images(path_of(name)).classes) for name in {key[0] for key in keys}}

    def mean(key: tuple[str, str, str], strategy: str, what: str) -> float:
        values = [line["strategies"][strategy][what] for line in by_unit[key] if strategy in line["strategies"]]
        return float(np.mean(values)) if values else float("nan")

    def depth(key: tuple[str, str, str]) -> float:
        layers = [line["strategies"][STRATEGIES["best layer"]]["layer"].rpartition(",")[0] for line in by_unit[key]]
        return float(np.nanmean([depths(key[2]).get(layer, float("nan")) for layer in layers] or [float("nan")]))

    last = np.array([mean(key, STRATEGIES["last layer"], "percent") for key in keys])
    return Units(
        sets=np.array([key[0] for key in keys]),
        sizes=np.array([key[1] for key in keys]),
        networks=np.array([key[2] for key in keys]),
        error=1 - last / 100,
        per_class=np.array([np.mean([line["train"] for line in by_unit[key]]) / classes[key[0]] for key in keys]),
        entropy=np.array([entropy[key[0]] for key in keys]),
        gains={
            name: np.array([mean(key, label, "percent") for key in keys]) - last for name, label in STRATEGIES.items()
        },
        seconds={name: np.array([mean(key, label, "seconds") for key in keys]) for name, label in STRATEGIES.items()},
        depth=np.array([depth(key) for key in keys]),
    )


@functools.cache
def depths(backbone: str) -> dict[str, float]:
    """The depth of each layer of a network."""
    path = SHARED / "weights" / f"{backbone}.tv_in1k.safetensors"
    card = open_backbone(
        str(path) if path.exists() else backbone, ExtractionOptions(input_px=96), read_images(path_of("hymenoptera"))
    ).card
    return {tap.name: tap.depth for tap in card.taps}


def fitted(of: Units, rows: np.ndarray, strategy: str) -> Coefficients:
    """Coefficients from some units; half of the interval holds COVERAGE of them, each set left out in turn."""
    facts, most, gain, sets = of.facts()[rows], 100 * of.error[rows], of.gains[strategy][rows], of.sets[rows]
    off = np.zeros(len(gain))
    for name in np.unique(sets):
        here = sets == name
        constant, *slopes = ridge(facts[~here], most[~here], gain[~here])
        off[here] = np.abs(most[here] * (constant + facts[here] @ slopes) - gain[here])
    weights = ridge(facts, most, gain)
    return Coefficients(*(round(float(w), 4) for w in weights), round(float(np.quantile(off, COVERAGE)), 2))


def ridge(facts: np.ndarray, most: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """(4,) constant and slopes of gain / most, slopes of standardised facts drawn to 0 by PRIOR_UNITS units."""
    center, spread = facts.mean(axis=0), facts.std(axis=0)
    design = most[:, None] * np.column_stack([np.ones(len(most)), (facts - center) / spread])
    penalty = PRIOR_UNITS * np.mean(most**2) * np.diag([0.0, *np.ones(facts.shape[1])])
    constant, *slopes = np.linalg.solve(design.T @ design + penalty, design.T @ gain)
    slopes = np.array(slopes) / spread
    return np.array([constant - center @ slopes, *slopes])


def left_out(of: Units, strategy: str) -> list[Gain]:
    """The gain of a strategy in each unit, forecast from the units of all other data sets."""
    by_set = {name: fitted(of, of.sets != name, strategy) for name in np.unique(of.sets)}
    return [
        expected_gain(by_set[name], error=error, effective_per_class=per_class, entropy=entropy)
        for name, error, per_class, entropy in zip(of.sets, of.error, of.per_class, of.entropy, strict=True)
    ]


def judged(forecast: list[Gain], gain: np.ndarray, sizes: np.ndarray) -> dict:
    points = np.array([each.points for each in forecast])
    inside = np.array([each.low <= g <= each.high for each, g in zip(forecast, gain, strict=True)])
    error, plain = np.abs(points - gain), np.abs(gain - gain.mean())
    return {
        "mean_absolute_error": {size: round(float(error[sizes == size].mean()), 2) for size in SIZES},
        "of_the_mean_gain": {size: round(float(plain[sizes == size].mean()), 2) for size in SIZES},
        "covered_percent": round(100 * float(inside.mean())),
    }


def over_sets(values: np.ndarray, sets: np.ndarray) -> dict:
    """Mean of the means of data sets, with a 95 % interval."""
    means = np.array([values[sets == name].mean() for name in np.unique(sets)])
    mean = float(means.mean())
    half = (
        float(t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)))
        if len(means) > 1
        else float("nan")
    )
    return {"mean": round(mean, 2), "low": round(mean - half, 2), "high": round(mean + half, 2), "sets": len(means)}


def advised(of: Units, forecasts: dict[str, list[Gain]]) -> list[str]:
    """The strategy that would be recommended in each unit before anything was tuned, its set left out."""
    picks = []
    for i in range(len(of.sets)):
        each = [
            Expectation(name, forecasts[name][i] if name in forecasts else Gain(0, 0, 0), seconds=of.seconds[name][i])
            for name in of.strategies
        ]
        picks.append(recommended_of(sorted(each, key=lambda one: one.seconds)).strategy)
    return picks


def policies(of: Units, picks: list[str]) -> dict[str, dict]:
    """What following each policy loses against the best strategy of a unit, and the seconds that it takes."""
    situations = [situation_of(per_class, entropy) for per_class, entropy in zip(of.per_class, of.entropy, strict=True)]
    every: dict[str, list[str]] = {"advice": picks, "rule of thumb": [RULE[s.size, s.similarity] for s in situations]}
    every |= {f"always {name}": [name] * len(picks) for name in of.strategies}
    best = np.max([of.gains[name] for name in of.strategies], axis=0)
    tuned = of.gains["all layers tuned"], of.seconds["all layers tuned"]
    result = {}
    for policy, chosen in every.items():
        gain = np.array([of.gains[name][i] for i, name in enumerate(chosen)])
        seconds = np.array([of.seconds[name][i] for i, name in enumerate(chosen)])
        sizes = {size: of.sizes == size for size in SIZES} | {"every": np.ones(len(gain), bool)}
        result[policy] = {
            size: {
                "behind_the_best": over_sets((best - gain)[rows], of.sets[rows]),
                "beyond_all_tuned": over_sets((tuned[0] - gain)[rows], of.sets[rows]),
                "within_a_point_percent": round(100 * float((best - gain <= 1)[rows].mean())),
                "seconds_ratio": round(float(np.exp(np.log(seconds / tuned[1])[rows].mean())), 3),
            }
            for size, rows in sizes.items()
        }
    return result


def wrong(of: Units, picks: list[str]) -> list[dict]:
    """The units in which the advice loses more than two points against the best strategy."""
    best = np.max([of.gains[name] for name in of.strategies], axis=0)
    return [
        {
            "set": str(of.sets[i]), "size": str(of.sizes[i]), "network": str(of.networks[i]), "advised": name,
            "best": max(of.strategies, key=lambda other: of.gains[other][i]),
            "points": round(float(best[i] - of.gains[name][i]), 1),
        }
        for i, name in enumerate(picks)
        if best[i] - of.gains[name][i] > 2
    ]  # fmt: skip


def quadrants(of: Units) -> dict[str, dict]:
    """What each strategy gains over the last layer in each situation of the rule of thumb."""
    situations = [situation_of(per_class, entropy) for per_class, entropy in zip(of.per_class, of.entropy, strict=True)]
    result = {}
    for size, similarity in RULE:
        rows = np.array([(s.size, s.similarity) == (size, similarity) for s in situations])
        if rows.any():
            result[f"{size}, {similarity}"] = {
                "rule": RULE[size, similarity],
                "units": int(rows.sum()),
                "sets": sorted(map(str, set(of.sets[rows]))),
                "gains": {name: over_sets(of.gains[name][rows], of.sets[rows]) for name in of.strategies},
            }
    return result


def correlations(of: Units, similarity: dict[str, dict]) -> dict[str, dict]:
    """Spearman's of each measure with the share of errors that tuning all layers removes, and with the best depth."""
    share = of.gains["all layers tuned"] / (100 * of.error)
    result: dict[str, dict] = {}
    for measure in MEASURES:
        values = np.array([_measure(similarity[name], measure) for name in of.sets])
        result[measure] = {
            what: {size: _spearman(values, target, of.sets, (of.sizes == size) & ~np.isnan(target)) for size in SIZES}
            for what, target in (("share_of_errors_removed", share), ("depth", of.depth))
        }
    return result


def _measure(row: dict, measure: str) -> float:
    return float(row["frechet"]["pooled"]) if measure == "frechet" else float(row[measure])


def _spearman(x: np.ndarray, y: np.ndarray, sets: np.ndarray, rows: np.ndarray) -> dict:
    x, y, sets = x[rows], y[rows], sets[rows]
    names = np.unique(sets)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        again = np.concatenate([np.flatnonzero(sets == name) for name in rng.choice(names, len(names))])
        if len(np.unique(x[again])) > 2 and len(np.unique(y[again])) > 2:
            drawn.append(spearmanr(x[again], y[again]).statistic)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "rho": round(float(spearmanr(x, y).statistic), 2),
        "low": round(float(low), 2),
        "high": round(float(high), 2),
    }


def rungs(similarity: dict[str, dict]) -> list[dict]:
    return [
        {
            "name": words,
            "entropy": round(similarity[name]["entropy"], 3),
            "digests": sorted(str(digest)[:DIGEST_LENGTH] for digest in read_images(path_of(name)).digests)[:DIGESTS],
        }
        for name, words in LADDER.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", type=Path, default=RESULTS / "strategies.jsonl")
    options = parser.parse_args()
    similarity = json.loads((RESULTS / "similarity.json").read_text())["sets"]
    lines = [json.loads(line) for line in options.strategies.read_text().splitlines()]
    of = units(lines, {name: row["entropy"] for name, row in similarity.items()})
    forecast = of.strategies[1:]
    forecasts = {name: left_out(of, name) for name in forecast}
    picks = advised(of, forecasts)
    everywhere = np.ones(len(of.sets), bool)
    table = {name: dataclasses.asdict(fitted(of, everywhere, name)) for name in forecast}
    TABLE.write_text(json.dumps({"gains": table, "ladder": rungs(similarity)}, indent=1) + "\n")
    result = {
        "units": len(of.sets),
        "cells": len(lines),
        "forecasts": {name: judged(forecasts[name], of.gains[name], of.sizes) for name in forecast},
        "policies": policies(of, picks),
        "wrong": wrong(of, picks),
        "quadrants": quadrants(of),
        "rank_correlations": correlations(of, similarity),
        "machine": describe(),
    }
    (RESULTS / "advice.json").write_text(json.dumps(result, indent=1) + "\n")
    for name in ("forecasts", "policies", "wrong", "quadrants"):
        print(name, json.dumps(result[name], indent=1))


if __name__ == "__main__":
    main()
