"""How much of what eight views gain do fewer bring: the best linear classifier, by number of views.

    python benchmarks/views.py [--sets …] [--sizes 20,all] [--seeds 0,1] [--input-px 128]

The embedded default. A layer and a loss are chosen by cross-validation on one view, and stay; then the same on codes
averaged over each number of views: accuracy in cross-validation on the images to train on, and on the test images of the
table of strategies. Views are nested. One line of ``results/views.jsonl`` per cell; cells that are there are not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import tempfile
from pathlib import Path

from machine import describe, kind
from strategies import DEFAULT, SETS, VIEWS, cell, linear

from graftwork.codes.store import Store
from graftwork.core.plans import linear_candidates

RESULTS = Path(__file__).parent / "results" / "views.jsonl"
COUNTS = (1, 2, 3, 4, 6, VIEWS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sizes", default="20,all")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--input-px", type=int, default=128)
    options = parser.parse_args()
    px = options.input_px
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(row["set"], row["size"], row["seed"], row["input_px"], row["kind"]) for row in done}
    cells = itertools.product(map(int, options.seeds.split(",")), options.sizes.split(","), options.sets.split(","))
    for seed, size, name in cells:
        at = cell(name, DEFAULT, size, seed)
        if at is None or (name, size, seed, px, kind()) in keys:
            continue
        with tempfile.TemporaryDirectory() as folder:
            backbone = dataclasses.replace(at.backbone.with_input(px), store=Store(Path(folder)))
            at = dataclasses.replace(at, backbone=backbone)
            candidates = linear_candidates(backbone.card)
            percent: dict[str, list[float]] = {"out of fold": [], "test": []}
            for views in COUNTS:
                tested, result = linear(at, candidates, views)
                candidates = (dataclasses.replace(result.chosen.candidate, views=1),)
                hits = result.chosen.probabilities.argmax(axis=1) == at.task.y
                percent["out of fold"].append(round(100 * float(hits.mean()), 2))
                percent["test"].append(round(100 * float(at.right(tested()).mean()), 2))
        line = {
            "set": name, "size": size, "seed": seed, "input_px": px, "kind": kind(), "train": len(at.rows),
            "test": len(at.test), "chosen": result.chosen.candidate.label, "views": COUNTS, "percent": percent,
            "machine": describe(),
        }  # fmt: skip
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(name, size, seed, percent, flush=True)


if __name__ == "__main__":
    main()
