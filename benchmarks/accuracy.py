"""Nested cross-validation: layer and C chosen on the inner folds, against the last layer on the same folds.

    python benchmarks/accuracy.py [--sets cells,dogcat] [--seeds 3]

One line of data per set, backbone and seed in results/accuracy.jsonl; cells that it has are not computed again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from datasets import GROUPS, SETS, SHARED, path_of
from machine import describe

from graftwork.core.fitted import probabilities
from graftwork.core.options import DataOptions, ExtractionOptions
from graftwork.core.plans import linear_candidates
from graftwork.core.splits import deal
from graftwork.core.trials import Task
from graftwork.fit import fit
from graftwork.steps.backbones import open_backbone
from graftwork.steps.prepare import check_images
from graftwork.steps.search import search

RESULTS = Path(__file__).parent / "results" / "accuracy.jsonl"
BACKBONES = {
    "efficientnet_lite0": "efficientnet_lite0",
    "mobilenetv2_100": str(SHARED / "weights" / "mobilenetv2_100.tv_in1k.safetensors"),
}
OUTER, INNER = 5, 5
"""Folds."""


def cell(name: str, backbone: str, seed: int) -> dict[str, object]:
    checked = check_images(path_of(name), DataOptions(group_by=GROUPS.get(name)))
    images, y, groups = checked.images, checked.images.labels, checked.groups
    options = ExtractionOptions(input_px=96 if name == "digits" else None)
    network = open_backbone(BACKBONES[backbone], options, images)
    codes = network.codes(images)
    every_layer = linear_candidates(network.card)
    last_layer = linear_candidates(network.card, layers=(network.card.taps[-1].name,), losses=("softmax",))
    task = Task(y, groups, deal(y, groups, (1.0,) * OUTER, np.random.default_rng(seed)), images.classes, seed=seed)
    hits, chosen = {"chosen": np.zeros(len(y), bool), "last": np.zeros(len(y), bool)}, []
    for fold in range(OUTER):
        inside, outside = np.flatnonzero(task.folds != fold), np.flatnonzero(task.folds == fold)
        inner_folds = deal(y[inside], groups[inside], (1.0,) * INNER, np.random.default_rng([seed, fold]))
        inner = task.take(inside, inner_folds)
        for key, candidates in (("chosen", every_layer), ("last", last_layer)):
            result = search(
                candidates, lambda _, rows=inside: codes.take(rows), inner, costs=[1.0] * len(candidates), features={}
            )
            fitted = fit(result.chosen, codes.take(inside), inner)
            rows = probabilities(fitted, codes.take(outside).of(result.chosen.candidate.taps))
            hits[key][outside] = rows.argmax(axis=1) == y[outside]
            if key == "chosen":
                chosen.append(result.chosen.candidate.label)
    difference = hits["chosen"].astype(float) - hits["last"]
    return {
        "set": name,
        "backbone": backbone,
        "seed": seed,
        "images": len(y),
        "groups": len(np.unique(groups)),
        "chosen_percent": round(100 * hits["chosen"].mean(), 3),
        "last_percent": round(100 * hits["last"].mean(), 3),
        "gain_points": round(100 * difference.mean(), 3),
        "gain_standard_error": round(100 * _clustered_error(difference, groups), 3),
        "chosen": chosen,
    }


def _clustered_error(difference: np.ndarray, groups: np.ndarray) -> float:
    """Standard error of a mean over images that come in groups."""
    centred = difference - difference.mean()
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=centred)
    return float(np.sqrt((sums**2).sum()) / len(difference))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--backbones", default=",".join(BACKBONES))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(row["set"], row["backbone"], row["seed"]) for row in done}
    for seed in range(options.seeds):
        for backbone in options.backbones.split(","):
            for name in options.sets.split(","):
                if (name, backbone, seed) in keys:
                    continue
                row = {**cell(name, backbone, seed), "machine": describe()}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(name, backbone, seed, row["chosen_percent"], row["last_percent"], row["chosen"], flush=True)


if __name__ == "__main__":
    main()
