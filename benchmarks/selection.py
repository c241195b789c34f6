"""How to choose among layers that cost the same: rules beside each other, on rows that every rule can be tried on.

    python benchmarks/selection.py [--sets …] [--sizes 20,5] [--seeds 5]

Cells are those of ``strategies.py`` (both backbones at 96 px, everything that is not trained on is the test). In each,
every linear candidate is cross-validated inside the training images and fitted; each rule then picks one by the
out-of-fold rows alone. One line of data a cell in ``results/selection.jsonl``: for each rule, per cent right of the
images to test. Cells that are there are not computed again.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from machine import describe
from strategies import BACKBONES, SETS, Cell, cell

from graftwork.core.fitted import probabilities
from graftwork.core.plans import Linear, linear_candidates
from graftwork.core.splits import deal
from graftwork.fit import fit
from graftwork.listener import Listener
from graftwork.steps.search import SearchResult, Rules, search

RESULTS = Path(__file__).parent / "results" / "selection.jsonl"


def picks(found: SearchResult, y: np.ndarray) -> dict[str, int]:
    """Which trial each rule takes."""
    rows = [trial.probabilities for trial in found.trials]
    wrong = np.array([(p.argmax(axis=1) != y).mean() for p in rows])
    surprise = np.array([-np.log(np.clip(p[np.arange(len(y)), y], 1e-7, 1)).mean() for p in rows])
    softmax = [
        i
        for i, t in enumerate(found.trials)
        if isinstance(t.candidate.plan, Linear) and t.candidate.plan.loss == "softmax"
    ]
    return {
        "last layer": softmax[-2],
        "all layers": softmax[-1],
        "fewest wrong, the earliest of them": int(wrong.argmin()),
        "fewest wrong, then likeliest": int(np.lexsort((surprise, wrong))[0]),
        "likeliest": int(surprise.argmin()),
        "graftwork's": found.verdict.chosen,
    }


def row(at: Cell) -> dict[str, float]:
    """Per cent right of the images to test, by rule."""
    codes, candidates = at.backbone.codes(at.checked.images), linear_candidates(at.backbone.extraction.card)
    y, groups, classes = at.y[at.rows], at.checked.groups[at.rows], at.checked.images.classes
    folds = deal(y, groups, (1.0,) * min(5, int(np.bincount(y).min())), np.random.default_rng(at.seed))
    found = search(
        Rules(candidates, classes, "accuracy", balanced=False, seed=at.seed), lambda _: codes.take(at.rows), y, folds,
        groups, features={}, costs=[1.0] * len(candidates), listener=Listener(),
    )  # fmt: skip
    right: dict[int, float] = {}
    chosen = picks(found, y)
    for i in set(chosen.values()):
        fitted = fit(found.trials[i], codes.take(at.rows), y, classes, balanced=False)
        rows = probabilities(fitted, codes.take(at.test).of(found.trials[i].candidate.taps))
        right[i] = round(100 * float(at.right(rows).mean()), 2)
    return {rule: right[i] for rule, i in chosen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sizes", default="20,5")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(line["set"], line["backbone"], line["size"], line["seed"]) for line in done}
    for seed, backbone, size, name in itertools.product(
        range(asked.seeds), BACKBONES, asked.sizes.split(","), asked.sets.split(",")
    ):
        at = None if (name, backbone, size, seed) in keys else cell(name, backbone, size, seed)
        if at is None:
            continue
        line = {
            "set": name, "backbone": backbone, "size": size, "seed": seed, "train": len(at.rows), "test": len(at.test),
            "percent": row(at), "machine": describe(),
        }  # fmt: skip
        print(name, backbone, size, seed, line["percent"], flush=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
