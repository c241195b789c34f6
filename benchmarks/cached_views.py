"""In how many augmented views activations at a cut must be cached: what is lost where the time limit allows fewer.

    python benchmarks/cached_views.py [--sets …] [--sizes 20,all] [--seeds 0]

The embedded default at its own 224 px, graftwork's recipe above the highest cut that is tried by default, on the cells of
``strategies.py``, trained on 1, 2 and 8 cached views and tested in one. ``seconds`` are those of the processor on one
thread, activations included; the views of a cell are computed once each. One line of ``results/cached_views.jsonl`` per
cell; cells that are there are not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from pathlib import Path

import strategies
import torch
from machine import describe

from graftwork.core.recipes import cut_layers, recipe

RESULTS = Path(__file__).parent / "results" / "cached_views.jsonl"
SETS = ("rsscn7", "trashnet", "pacs-sketch", "hymenoptera", "cells")
VIEWS = (8, 2, 1)
INPUT_PX = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sizes", default="20,all")
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    torch.set_num_threads(1)
    strategies.BACKBONES[strategies.DEFAULT] = INPUT_PX
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(row["set"], row["size"], row["seed"]) for row in done}
    for size, seed, name in itertools.product(
        options.sizes.split(","), map(int, options.seeds.split(",")), options.sets.split(",")
    ):
        at = None if (name, size, seed) in keys else strategies.cell(name, strategies.DEFAULT, size, seed)
        if at is None:
            continue
        (highest, *_), _ = cut_layers(at.backbone.card)
        plan = recipe(len(at.rows), highest, cached=True)
        by_views = {}
        with strategies.empty_store(at) as empty:
            _, result = strategies.on_last_layer(empty)
            for views in VIEWS:
                fewer = dataclasses.replace(plan, cached_augmentations=views)
                (tuned,), seconds = strategies.fine_tuned(empty, fewer, result.chosen.details["C"])
                percent = round(100 * float(at.right(tuned.margins[1]).mean()), 2)
                by_views[views] = {"percent": percent, "seconds": round(seconds, 1)}
        line = {
            "set": name, "size": size, "seed": seed, "train": len(at.rows), "test": len(at.test), "epochs": plan.epochs,
            "freeze_to": highest, "views": by_views, "machine": describe(),
        }  # fmt: skip
        print(line, flush=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
