"""Fit the forecast of what each strategy gains, and judge it with every data set left out in turn.

    python benchmarks/advice.py [--strategies FILE]

Reads ``results/strategies.jsonl``, ``results/linear_facts.jsonl`` and ``results/similarity.json``; writes
``results/advice.json`` and the table that the package brings (``src/graftwork/advice/table.json``). A cell is a data set,
a size, a network and a seed; a unit is what remains when the cells of all seeds are averaged. Each cell is forecast from
what cross-validation says of its images to train on, and what was fine-tuned is judged on its test images. Whatever is
said of a set was fitted without it, the covariance too. Intervals are those of Student's t over the means of data sets,
or bootstraps over data sets for rank correlations.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import unittest.mock
import warnings
from pathlib import Path

import numpy as np
from datasets import SHARED, path_of
from machine import describe
from scipy.stats import spearmanr, t

from graftwork.advice.similarity import DIGEST_LENGTH
from graftwork.core.advice import DIFFERENT_ENTROPY, LARGE_PER_CLASS, RULE, Expectation, recommended_of, situation_of
from graftwork.core.gains import Coefficients, Gain, GainModel, expected_gains
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
"""Those whose forecast is fitted; others follow one of them (``core.gains.OVER_ALL_LAYERS``)."""
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
WORTH = (0.0, 0.25, 0.5, 1.0, 2.0)
LEAST_ERROR = 0.01
"""Shares of fewer errors than this are shares of this: one image more or less would be everything."""
PER_CLASS = (1.0, 10.0, 30.0, 100.0, 300.0, 1e9)
ENTROPY = (0.0, 0.45, 0.7, 1.0, 2.0, 9.0)
"""Boundaries of the rule of thumb that are tried: everything on either side, and what lies between the sets."""
PRIOR_UNITS = 3.0
"""Of 0, 0.3, 1, 3, 10, 30 the one with the smallest error with sets left out, on the table of the recipe before."""
DRAWS = 2000


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """The cells in which all strategies were run, or their means over seeds, (m,) each."""

    sets: np.ndarray
    sizes: np.ndarray
    networks: np.ndarray
    error: np.ndarray
    """Share that the last layer misclassifies in cross-validation."""
    per_class: np.ndarray
    entropy: np.ndarray
    gains: dict[str, np.ndarray]
    """In points over the last layer on the test images, by strategy; NaN where it was not run."""
    seconds: dict[str, np.ndarray]
    """Of one core, by strategy."""
    depth: np.ndarray
    """Of the best layer by cross-validation; NaN where several were chosen together."""
    measured: tuple[dict[str, Gain], ...]
    """What linear strategies gain in cross-validation, by cell."""

    @property
    def strategies(self) -> list[str]:
        """Those that were run in every cell, the last layer first."""
        return [
            "last layer",
            *(name for name, gain in self.gains.items() if name != "last layer" and not np.isnan(gain).any()),
        ]

    @property
    def unit(self) -> np.ndarray:
        """(m,) the unit of each cell."""
        keys = np.char.add(np.char.add(self.sets, self.sizes), self.networks)
        return np.unique(keys, return_inverse=True)[1]

    def facts(self) -> np.ndarray:
        """(m, 3) what the share of errors that a strategy removes is a linear function of."""
        return np.stack([np.log2(self.entropy), np.log2(self.per_class), self.error], axis=1)

    def shares(self, strategy: str) -> np.ndarray:
        """(m,) of the last layer's errors that a strategy removes."""
        return self.gains[strategy] / (100 * np.maximum(self.error, LEAST_ERROR))

    def means(self, values: np.ndarray) -> np.ndarray:
        """(u,) means of the units; NaN is left out."""
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of nothing but NaN
            return np.array([np.nanmean(values[self.unit == unit]) for unit in range(self.unit.max() + 1)])

    def units(self) -> Cells:
        """The means over seeds."""
        first = np.unique(self.unit, return_index=True)[1]
        return Cells(
            **{name: getattr(self, name)[first] for name in ("sets", "sizes", "networks")},
            **{name: self.means(getattr(self, name)) for name in ("error", "per_class", "entropy", "depth")},
            **{
                name: {strategy: self.means(values) for strategy, values in getattr(self, name).items()}
                for name in ("gains", "seconds")
            },
            measured=(),
        )


def cells(lines: list[dict], facts: list[dict], entropy: dict[str, float]) -> Cells:
    def key(line: dict) -> tuple[str, ...]:
        return tuple(str(line[name]) for name in ("set", "size", "backbone", "seed"))

    known = {key(line): line for line in facts}
    lines = sorted(lines, key=key)
    classes = {name: len(read_images(path_of(name)).classes) for name in {line["set"] for line in lines}}

    def what(strategy: str, of: str) -> np.ndarray:
        return np.array([line["strategies"].get(strategy, {}).get(of, float("nan")) for line in lines])

    def depth(line: dict) -> float:
        layer = line["strategies"][STRATEGIES["best layer"]]["layer"].rpartition(",")[0]
        return depths(line["backbone"]).get(layer, float("nan"))

    last = what(STRATEGIES["last layer"], "percent")
    return Cells(
        sets=np.array([line["set"] for line in lines]),
        sizes=np.array([line["size"] for line in lines]),
        networks=np.array([line["backbone"] for line in lines]),
        error=np.array([known[key(line)]["error"] for line in lines]),
        per_class=np.array([line["train"] / classes[line["set"]] for line in lines]),
        entropy=np.array([entropy[line["set"]] for line in lines]),
        gains={name: what(label, "percent") - last for name, label in STRATEGIES.items()},
        seconds={name: what(label, "seconds") for name, label in STRATEGIES.items()},
        depth=np.array([depth(line) for line in lines]),
        measured=tuple(
            {name: Gain(*ends) for name, ends in known[key(line)]["gains"].items() if name in STRATEGIES}
            for line in lines
        ),
    )


@functools.cache
def depths(backbone: str) -> dict[str, float]:
    """The depth of each layer of a network."""
    path = SHARED / "weights" / f"{backbone}.tv_in1k.safetensors"
    card = open_backbone(
        str(path) if path.exists() else backbone, ExtractionOptions(input_px=96), read_images(path_of("hymenoptera"))
    ).card
    return {tap.name: tap.depth for tap in card.taps}


def fitted(of: Cells, rows: np.ndarray) -> GainModel:
    """The model from some units; its covariance is that of the errors with each set left out in turn."""
    facts, sets = of.facts()[rows], of.sets[rows]
    names = of.strategies[1:]
    shares = np.stack([of.shares(name)[rows] for name in names], axis=1)
    off = np.zeros_like(shares)
    for name in np.unique(sets):
        here = sets == name
        constants, slopes = ridge(facts[~here], shares[~here])
        off[here] = constants + facts[here] @ slopes - shares[here]
    constants, slopes = ridge(facts, shares)
    coefficients = {
        name: Coefficients(*(round(float(weight), 4) for weight in (constants[j], *slopes[:, j])))
        for j, name in enumerate(names)
    }
    return GainModel(coefficients, (off.T @ off / len(off)).round(5))


def ridge(facts: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(s,) constants and (3, s) slopes of shares (m, s); of standardised facts, drawn to 0 by PRIOR_UNITS units."""
    center, spread = facts.mean(axis=0), facts.std(axis=0)
    design = np.column_stack([np.ones(len(facts)), (facts - center) / spread])
    penalty = PRIOR_UNITS * np.diag([0.0, *np.ones(facts.shape[1])])
    constants, *slopes = np.linalg.solve(design.T @ design + penalty, design.T @ shares)
    slopes = np.array(slopes) / spread[:, None]
    return constants - center @ slopes, slopes


def left_out(of: Cells, units: Cells, known: tuple[str, ...]) -> list[dict[str, Gain]]:
    """What every strategy is expected to gain in each cell, from the units of all other data sets.

    Parameters
    ----------
    known
        Linear strategies whose gain in cross-validation is known.
    """
    by_set = {name: fitted(units, units.sets != name) for name in np.unique(of.sets)}
    return [
        expected_gains(
            by_set[name], error=error, effective_per_class=per_class, entropy=entropy,
            measured={strategy: gain for strategy, gain in measured.items() if strategy in known},
        )
        for name, error, per_class, entropy, measured in zip(
            of.sets, of.error, of.per_class, of.entropy, of.measured, strict=True
        )
    ]  # fmt: skip


def judged(of: Cells, units: Cells, forecasts: list[dict[str, Gain]], strategy: str) -> dict:
    gain = units.gains[strategy]
    points, low, high = (
        of.means(np.array([getattr(each[strategy], end) for each in forecasts])) for end in ("points", "low", "high")
    )
    inside, error, plain = (low <= gain) & (gain <= high), np.abs(points - gain), np.abs(gain - gain.mean())
    return {
        "mean_absolute_error": {size: round(float(error[units.sizes == size].mean()), 2) for size in SIZES},
        "of_the_mean_gain": {size: round(float(plain[units.sizes == size].mean()), 2) for size in SIZES},
        "covered_percent": round(100 * float(inside.mean())),
        "covered_percent_by_size": {size: round(100 * float(inside[units.sizes == size].mean())) for size in SIZES},
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


def advised(of: Cells, forecasts: list[dict[str, Gain]]) -> list[str]:
    """The strategy that would be recommended in each cell before anything was tuned, its set left out."""
    picks = []
    for i, expected in enumerate(forecasts):
        each = [
            Expectation(name, expected.get(name, Gain(0, 0, 0)), seconds=of.seconds[name][i]) for name in of.strategies
        ]
        picks.append(recommended_of(sorted(each, key=lambda one: one.seconds)).strategy)
    return picks


def worth_of(of: Cells, units: Cells, forecasts: list[dict[str, Gain]], tolerance: float) -> dict:
    """What the advice loses and takes if another lag behind the best were worth the seconds (``WORTH_POINTS``)."""
    with unittest.mock.patch("graftwork.core.advice.WORTH_POINTS", tolerance):
        return policies(of, units, {"advice": advised(of, forecasts)})["advice"]["every"]


def rule_of_thumb(of: Cells, per_class: float = LARGE_PER_CLASS, entropy: float = DIFFERENT_ENTROPY) -> list[str]:
    """The strategy of the rule of thumb in each cell, with these boundaries."""
    return [
        RULE["large" if size >= per_class else "small", "different" if far >= entropy else "similar"]
        for size, far in zip(of.per_class, of.entropy, strict=True)
    ]


def followed(of: Cells, picks: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(u,) what the strategies that were picked in each cell gain over the last layer, and log seconds."""
    gain = np.array([of.gains[name][i] for i, name in enumerate(picks)])
    seconds = np.array([of.seconds[name][i] for i, name in enumerate(picks)])
    return of.means(gain), of.means(np.log(seconds))


def best_of(units: Cells) -> np.ndarray:
    """(u,) what the best strategy of each unit gains over the last layer."""
    return np.max([units.gains[name] for name in units.strategies], axis=0)


def policies(of: Cells, units: Cells, every: dict[str, list[str]]) -> dict[str, dict]:
    """What following each policy loses against the best strategy of a unit, and the seconds that it takes."""
    every = every | {f"always {name}": [name] * len(of.sets) for name in of.strategies}
    best, (tuned, tuned_seconds) = best_of(units), followed(of, every["always all layers tuned"])
    result = {}
    for policy, chosen in every.items():
        gain, seconds = followed(of, chosen)
        sizes = {size: units.sizes == size for size in SIZES} | {"every": np.ones(len(gain), bool)}
        result[policy] = {
            size: {
                "behind_the_best": over_sets((best - gain)[rows], units.sets[rows]),
                "beyond_all_tuned": over_sets((tuned - gain)[rows], units.sets[rows]),
                "within_a_point_percent": round(100 * float((best - gain <= 1)[rows].mean())),
                "seconds_ratio": round(float(np.exp((seconds - tuned_seconds)[rows].mean())), 3),
            }
            for size, rows in sizes.items()
        }
    return result


def boundaries(of: Cells, units: Cells) -> dict:
    """What the rule of thumb loses with other boundaries, and with those that are best for the other data sets."""
    best = best_of(units)

    def lost(per_class: float, entropy: float) -> np.ndarray:
        return best - followed(of, rule_of_thumb(of, per_class, entropy))[0]

    grid = [(per_class, entropy) for per_class in PER_CLASS for entropy in ENTROPY]
    table = np.array([lost(*at) for at in grid])
    chosen, left = [], np.zeros(len(best))
    for name in np.unique(units.sets):
        here = units.sets == name
        means = [[row[units.sets == other].mean() for other in np.unique(units.sets[~here])] for row in table]
        at = int(np.argmin(np.mean(means, axis=1)))
        chosen.append(grid[at])
        left[here] = table[at][here]
    own = lost(LARGE_PER_CLASS, DIFFERENT_ENTROPY)
    return {
        "grid": [
            {"per_class": per_class, "entropy": entropy, "behind_the_best": over_sets(row, units.sets)}
            for (per_class, entropy), row in zip(grid, table, strict=True)
        ],
        "chosen_for_the_others": sorted({f"{per_class:g} a class, {entropy:g} nats" for per_class, entropy in chosen}),
        "behind_the_best_with_those": over_sets(left, units.sets),
        "behind_the_best_with_ours": over_sets(own, units.sets),
    }


def wrong(of: Cells, units: Cells, picks: list[str]) -> list[dict]:
    """The units in which the advice loses more than two points against the best strategy."""
    lost = best_of(units) - followed(of, picks)[0]
    return [
        {
            "set": str(units.sets[i]), "size": str(units.sizes[i]), "network": str(units.networks[i]),
            "advised": " or ".join(sorted({pick for pick, unit in zip(picks, of.unit, strict=True) if unit == i})),
            "best": max(units.strategies, key=lambda other: units.gains[other][i]),
            "points": round(float(lost[i]), 1),
        }
        for i in np.flatnonzero(lost > 2)
    ]  # fmt: skip


def quadrants(of: Cells) -> dict[str, dict]:
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


def correlations(of: Cells, similarity: dict[str, dict]) -> dict[str, dict]:
    """Spearman's of each measure with the share of errors that tuning all layers removes, and with the best depth."""
    share = of.shares("all layers tuned")
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
    facts = [json.loads(line) for line in (RESULTS / "linear_facts.jsonl").read_text().splitlines()]
    of = cells(lines, facts, {name: row["entropy"] for name, row in similarity.items()})
    units = of.units()
    known = {
        "of the last layer alone": (),
        "of layers": ("best layer",),
        "of layers and views": ("best layer", "several views"),
    }
    forecasts = {what: left_out(of, units, strategies) for what, strategies in known.items()}
    picks = {f"advice that knows {what.removeprefix('of ')}": advised(of, each) for what, each in forecasts.items()}
    model = fitted(units, np.ones(len(units.sets), bool))
    gains = {name: dataclasses.asdict(each) for name, each in model.coefficients.items()}
    table = {"gains": gains, "covariance": model.covariance.tolist(), "ladder": rungs(similarity)}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
    result = {
        "units": len(units.sets),
        "cells": len(lines),
        "forecasts": {
            what: {name: judged(of, units, each, name) for name in model.coefficients}
            for what, each in forecasts.items()
        },
        "policies": policies(of, units, picks | {"rule of thumb": rule_of_thumb(of)}),
        "wrong": wrong(of, units, picks["advice that knows layers"]),
        "worth_points": {
            f"{tolerance:g}": worth_of(of, units, forecasts["of layers"], tolerance) for tolerance in WORTH
        },
        "boundaries": boundaries(of, units),
        "quadrants": quadrants(units),
        "rank_correlations": correlations(units, similarity),
        "machine": describe(),
    }
    (RESULTS / "advice.json").write_text(json.dumps(result, indent=1) + "\n")
    for name in ("forecasts", "policies", "wrong"):
        print(name, json.dumps(result[name], indent=1))


if __name__ == "__main__":
    main()
