"""How to choose among layers that cost the same: several rules compared on the same out-of-fold probabilities.

    python benchmarks/selection.py [--sets …] [--sizes 20,5] [--seeds 5]

Cells are those of ``strategies.py`` (both backbones at 96 px, tested on all images that were not trained on). In each,
every linear candidate is cross-validated on the training images and fitted; each rule then picks one by the out-of-fold
probabilities alone. One line of data per cell in ``results/selection.jsonl``: the test accuracy of each rule's pick in
per cent. Cells that it has are not computed again.
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
from graftwork.core.plans import linear_candidates, linear_of
from graftwork.fit import fit
from graftwork.steps.search import SearchResult, search

RESULTS = Path(__file__).parent / "results" / "selection.jsonl"


def picks(result: SearchResult, y: np.ndarray) -> dict[str, int]:
    """Which trial each rule picks."""
    rows = [trial.probabilities for trial in result.trials]
    errors = np.array([(p.argmax(axis=1) != y).mean() for p in rows])
    log_losses = np.array([-np.log(np.clip(p[np.arange(len(y)), y], 1e-7, 1)).mean() for p in rows])
    softmax = [i for i, trial in enumerate(result.trials) if linear_of(trial.candidate).loss == "softmax"]
    return {
        "last layer": softmax[-2],
        "all layers": softmax[-1],
        "fewest errors, earliest layer": int(errors.argmin()),
        "fewest errors, then lowest log loss": int(np.lexsort((log_losses, errors))[0]),
        "lowest log loss": int(log_losses.argmin()),
        "graftwork's": result.verdict.chosen,
    }


def row(at: Cell) -> dict[str, float]:
    """Test accuracy in per cent of each rule's pick."""
    codes, candidates, task = at.backbone.codes(at.checked.images), linear_candidates(at.backbone.card), at.task
    result = search(candidates, lambda _: codes.take(at.rows), task, costs=[1.0] * len(candidates), features={})
    accuracy: dict[int, float] = {}
    picked = picks(result, task.y)
    for i in set(picked.values()):
        fitted = fit(result.trials[i], codes.take(at.rows), task)
        rows = probabilities(fitted, codes.take(at.test).of(result.trials[i].candidate.taps))
        accuracy[i] = round(100 * float(at.right(rows).mean()), 2)
    return {rule: accuracy[i] for rule, i in picked.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sizes", default="20,5")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(line["set"], line["backbone"], line["size"], line["seed"]) for line in done}
    for seed, backbone, size, name in itertools.product(
        range(options.seeds), BACKBONES, options.sizes.split(","), options.sets.split(",")
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
