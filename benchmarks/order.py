"""Does the forecast's order of fine-tunings reach the choice sooner than one and the same order for all data?

    python benchmarks/order.py [--sets …] [--limits 30,60,120] [--seeds 0]

``train`` on the embedded default at 96 px, twice in turn with the same split and time limit: as it is, and with the gains
that were the same for all data before there was a forecast (``FIXED``). The choice is reached when the chosen candidate
has run on all the folds that it was judged on, or with the search where a linear model is chosen. One line of
``results/order.jsonl`` per set, limit and seed; cells that are there are not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import GROUPS, path_of
from machine import describe, kind

import graftwork
from graftwork.core.plans import Candidate, recipe_of, training_of
from graftwork.core.trials import Standing
from graftwork.steps import compete

RESULTS = Path(__file__).parent / "results" / "order.jsonl"
SETS = ("cells", "digits", "dogcat", "hymenoptera", "neu-steel", "pacs-sketch", "rsscn7", "trashnet")
BACKBONE, INPUT_PX = "efficientnet_lite0", 96
FIXED = {"partial": 2.2, "full": 3.3, "scratch": -15.0}
"""Points over the best linear model by kind of fine-tuning, the mean over sizes of nine sets."""
SMALLER_POINTS = -0.5
MEASURED_ONCE = ("engines", "backbones")
"""Folders of the cache that are kept."""


def fixed_points(candidates: Sequence[Candidate], *_: object) -> Mapping[str, float]:
    def points(candidate: Candidate) -> float:
        plan = recipe_of(candidate)
        alike = "full" if plan.kind == "partial" and not plan.cached_augmentations else plan.kind
        return FIXED[alike] + (SMALLER_POINTS if plan.input_px is not None else 0.0)

    return {candidate.key: points(candidate) for candidate in candidates}


class Stopwatch(graftwork.Listener):
    """Notes when each candidate finished each fold, and when the search ended."""

    def __init__(self) -> None:
        self.begin = time.perf_counter()
        self.searched = 0.0
        self.finished: dict[tuple[str, int], float] = {}
        self.current = ""

    def stage(self, name: str) -> None:
        self.current = name

    def end_stage(self) -> None:
        if self.current == "candidates":
            self.searched = time.perf_counter() - self.begin

    def candidates(self, standings: Sequence[Standing]) -> None:
        for standing in standings:
            self.finished.setdefault((standing.label, standing.folds), time.perf_counter() - self.begin)


def run(name: str, seed: int, limit: int) -> dict[str, Any]:
    cache = Path(os.environ["GRAFTWORK_CACHE"])
    for folder in cache.iterdir() if cache.exists() else ():
        if folder.name not in MEASURED_ONCE:
            shutil.rmtree(folder)
    with tempfile.TemporaryDirectory() as work:
        os.environ["GRAFTWORK_HOME"] = work
        watch = Stopwatch()
        done = graftwork.train(
            path_of(name), backbone=BACKBONE, input_px=INPUT_PX, seed=seed, time_limit=f"{limit}s",
            group_by=GROUPS.get(name), output=f"{work}/run", listener=watch,
        )  # fmt: skip
        total = time.perf_counter() - watch.begin
    chosen = done.trials[done.verdict.chosen]
    reached = watch.searched
    if chosen.candidate.plan.kind != "linear":
        label = training_of(chosen.candidate).label
        reached = max(seconds for (other, _), seconds in watch.finished.items() if other == label)
    assert done.test is not None
    right = (done.test.probabilities.argmax(axis=1) == done.test.y).astype(int)
    return {
        "chosen": chosen.candidate.label, "kind": chosen.candidate.plan.kind, "reached_seconds": round(reached, 2),
        "seconds": round(total, 1), "right": "".join(map(str, right)),
        "tuned": sorted({training_of(t.candidate).label for t in done.trials if t.candidate.plan.kind != "linear"}),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--limits", default="30,60,120", help="seconds")
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(row["set"], row["limit_seconds"], row["seed"], row["kind"]) for row in done}
    forecast = compete.expected_points
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GRAFTWORK_CACHE"] = cache
        run("hymenoptera", 0, 30)  # engines are measured
        for seed, limit, name in itertools.product(
            map(int, options.seeds.split(",")), map(int, options.limits.split(",")), options.sets.split(",")
        ):
            if (name, limit, seed, kind()) in keys:
                continue
            sides = {}
            for side, points in (("fixed", fixed_points), ("forecast", forecast)):
                compete.expected_points = points
                sides[side] = run(name, seed, limit)
            line = {"set": name, "limit_seconds": limit, "seed": seed, "kind": kind(), **sides, "machine": describe()}
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(
                name, limit, seed, *((side, r["chosen"], r["reached_seconds"]) for side, r in sides.items()), flush=True
            )


if __name__ == "__main__":
    main()
