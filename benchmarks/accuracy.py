"""Nested accuracy: layer and C chosen inside, against the last layer on the same folds.

    python benchmarks/accuracy.py [--sets cells,dogcat] [--seeds 3]

One line of data per set, backbone and seed in results/accuracy.jsonl; cells that are there are not computed again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from datasets import GROUPS, SETS, SHARED, path_of
from machine import describe

from graftwork.core.fitted import probabilities
from graftwork.core.plans import linear_candidates
from graftwork.core.splits import deal
from graftwork.fit import fit
from graftwork.listener import Listener
from graftwork.steps.prepare import check_images
from graftwork.steps.backbones import ExtractionOptions, open_backbone
from graftwork.steps.search import Rules, search

RESULTS = Path(__file__).parent / "results" / "accuracy.jsonl"
BACKBONES = {
    "efficientnet_lite0": "efficientnet_lite0",
    "mobilenetv2_100": str(SHARED / "weights" / "mobilenetv2_100.tv_in1k.safetensors"),
}
OUTER = 5


def cell(name: str, backbone: str, seed: int) -> dict[str, object]:
    checked = check_images(path_of(name), group_by=GROUPS.get(name))
    images, y, groups = checked.images, checked.images.labels, checked.groups
    input_px = 96 if name == "digits" else None
    backbone = open_backbone(ExtractionOptions(BACKBONES[backbone], input_px=input_px), images)
    codes = backbone.codes(images)
    everything = linear_candidates(backbone.extraction.card)
    last = linear_candidates(backbone.extraction.card, layers=(backbone.extraction.card.taps[-1].name,), losses=("softmax",))
    folds = deal(y, groups, (1.0,) * OUTER, np.random.default_rng(seed))
    hits, chosen = {"chosen": np.zeros(len(y), bool), "last": np.zeros(len(y), bool)}, []
    for fold in range(OUTER):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        inner = deal(y[inside], groups[inside], (1.0,) * 5, np.random.default_rng([seed, fold]))
        for key, candidates in (("chosen", everything), ("last", last)):
            rules = Rules(candidates, images.classes, "accuracy", balanced=False, seed=seed)
            found = search(
                rules, lambda _, rows=inside: codes.take(rows), y[inside], inner, groups[inside],
                features={}, costs=[1.0] * len(candidates), listener=Listener(),
            )  # fmt: skip
            fitted = fit(found.chosen, codes.take(inside), y[inside], images.classes, balanced=False)
            rows = probabilities(fitted, codes.take(outside).of(found.chosen.candidate.taps))
            hits[key][outside] = rows.argmax(axis=1) == y[outside]
            if key == "chosen":
                chosen.append(found.chosen.candidate.label)
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
    """Standard error of a mean of images that come in groups."""
    centred = difference - difference.mean()
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=centred)
    return float(np.sqrt((sums**2).sum()) / len(difference))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--backbones", default=",".join(BACKBONES))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(row["set"], row["backbone"], row["seed"]) for row in done}
    for seed in range(asked.seeds):
        for backbone in asked.backbones.split(","):
            for name in asked.sets.split(","):
                if (name, backbone, seed) in keys:
                    continue
                row = {**cell(name, backbone, seed), "machine": describe()}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(name, backbone, seed, row["chosen_percent"], row["last_percent"], row["chosen"], flush=True)


if __name__ == "__main__":
    main()
