"""Which strategy wins where: sets x sizes x strategies x seeds, everything outside training being the test.

    python benchmarks/strategies.py --linear-again      # linear rows of the cells that are there, by today's rules
    python benchmarks/strategies.py [--sets …] [--sizes all,20,5] [--seeds 0,1,2] [--backbones …] [--scratch]

Strategies: a linear model on the last layer; on the layer that wins a cross-validation inside the training images; the
same on codes of 8 views; tuned above the highest cut that graftwork tries unasked and tuned whole, each all the way and
half of it (WiSE-FT); with ``--scratch`` also the same network from random weights, four times as long. Recipes are
graftwork's; ``recipes.py`` tries others.

Cells come in order of priority; each is one line of ``benchmarks/results/strategies.jsonl`` once it is done, and is not
computed again. Images of one group (patient, smear, drawing) and near-duplicates are never on both sides.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import GROUPS, SHARED, path_of
from machine import describe

from graftwork.core.fitted import probabilities
from graftwork.core.plans import Candidate, linear_candidates, recipe_of
from graftwork.core.recipes import WISE_FT_ALPHA, fine_tuning_candidates
from graftwork.core.splits import deal, make_split
from graftwork.fit import FineTuneContext, fit, tune_fold
from graftwork.listener import Listener
from graftwork.steps.prepare import CheckedImages, check_images
from graftwork.steps.backbones import ExtractionOptions, Backbone, open_backbone
from graftwork.steps.search import SearchResult, Rules, search

RESULTS = Path(__file__).parent / "results" / "strategies.jsonl"
SETS = ("rsscn7", "trashnet", "pacs-sketch", "hymenoptera", "digits", "neu-steel", "cells", "xray", "dogcat")
DEFAULT = "efficientnet_lite0"
BACKBONES = {DEFAULT: 96, "mobilenetv2_100": 96}
"""Input in pixels."""
VIEWS = 8
FEWEST_TESTED = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """Images to train on, and all others."""

    checked: CheckedImages
    backbone: Backbone
    rows: np.ndarray
    test: np.ndarray
    seed: int

    @property
    def y(self) -> np.ndarray:
        return self.checked.images.labels

    def right(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows.argmax(axis=1) == self.y[self.test])


@functools.cache
def looked_at(name: str) -> CheckedImages:
    return check_images(path_of(name), group_by=GROUPS.get(name))


@functools.cache
def opened_for(name: str, backbone: str) -> Backbone:
    path = SHARED / "weights" / f"{backbone}.tv_in1k.safetensors"
    asked = ExtractionOptions(str(path) if path.exists() else backbone, input_px=BACKBONES[backbone])
    return open_backbone(asked, looked_at(name).images)


def cell(name: str, backbone: str, size: str, seed: int) -> Cell | None:
    """None where fewer than ``FEWEST_TESTED`` images or classes with too few would be left."""
    checked = looked_at(name)
    y, groups = checked.images.labels, checked.groups
    fraction = max(0.2, 1.1 * FEWEST_TESTED / len(y))
    split = make_split(y, groups, seed=seed, test_fraction=fraction, n_folds=2)
    rows = split.develop
    if size != "all":
        order = np.random.default_rng([seed, 1]).permutation(rows)
        rows = np.sort(np.concatenate([order[y[order] == c][: int(size)] for c in np.unique(y)]))
    test = np.flatnonzero(~np.isin(groups, groups[rows]))
    return Cell(checked, opened_for(name, backbone), rows, test, seed) if len(test) >= FEWEST_TESTED else None


def linear(at: Cell, candidates: tuple[Candidate, ...], views: int = 1) -> tuple[np.ndarray, SearchResult]:
    backbone = at.backbone.viewed(views)
    codes = backbone.codes(at.checked.images)
    y, groups = at.y[at.rows], at.checked.groups[at.rows]
    folds = deal(y, groups, (1.0,) * min(5, int(np.bincount(y).min())), np.random.default_rng(at.seed))
    rules = Rules(candidates, at.checked.images.classes, "accuracy", balanced=False, seed=at.seed)
    found = search(
        rules, lambda _: codes.take(at.rows), y, folds, groups, features={}, costs=[1.0] * len(candidates), listener=Listener()
    )  # fmt: skip
    fitted = fit(found.chosen, codes.take(at.rows), y, rules.classes, balanced=False)
    return probabilities(fitted, codes.take(at.test).of(found.chosen.candidate.taps)), found


Row = tuple[str, np.ndarray, float, dict[str, Any]]
"""Strategy, right or wrong of each test image, seconds, and what was chosen."""


def on_last_layer(at: Cell) -> tuple[np.ndarray, SearchResult]:
    card = at.backbone.extraction.card
    return linear(at, linear_candidates(card, layers=(card.taps[-1].name,), losses=("softmax",)))


def linear_rows(at: Cell) -> Iterator[Row]:
    card = at.backbone.extraction.card
    begin = time.perf_counter()
    last, _ = on_last_layer(at)
    yield "linear, last layer", at.right(last), time.perf_counter() - begin, {}
    begin = time.perf_counter()
    best, found = linear(at, linear_candidates(card))
    chosen = found.chosen.candidate
    yield "linear, layer that wins", at.right(best), time.perf_counter() - begin, {"layer": chosen.label}
    begin = time.perf_counter()
    seen, _ = linear(at, (dataclasses.replace(chosen, views=VIEWS),), VIEWS)
    yield f"linear, {VIEWS} views", at.right(seen), time.perf_counter() - begin, {"layer": chosen.label}


def tuned_rows(at: Cell, scratch: bool) -> Iterator[Row]:
    card = at.backbone.extraction.card
    _, found_last = on_last_layer(at)
    codes = at.backbone.codes(at.checked.images)
    with tempfile.TemporaryDirectory() as folder:
        tuning = FineTuneContext(
            images=at.checked.images,
            read=lambda images, extraction: at.backbone.with_extraction(extraction).codes(images),
            folder=Path(folder),
            store_mb=10_000,
            seed=at.seed,
            say=print,
        )
        highest, *_, whole = fine_tuning_candidates(card, len(at.rows), scratch=False)
        *_, random = fine_tuning_candidates(card, len(at.rows), scratch=True)
        for candidate in (highest, whole, random) if scratch else (highest, whole):
            plan = recipe_of(candidate)
            alphas = (1.0, WISE_FT_ALPHA) if plan.start == "pretrained" else (1.0,)
            begin = time.perf_counter()
            tuned = tune_fold(
                plan, found_last.chosen.details["C"], codes, at.y,
                len(at.checked.images.classes), at.rows, at.test, alphas=alphas, balanced=False,
                tuning=tuning, checkpoint=Path(folder) / "none",
            )  # fmt: skip
            seconds = time.perf_counter() - begin
            for alpha, result in zip(alphas, tuned, strict=True):
                label = dataclasses.replace(plan, alpha=alpha).label
                yield label, at.right(result.margins), seconds, {"epochs": plan.epochs}


def shown(right: np.ndarray, seconds: float, told: dict[str, Any]) -> dict[str, Any]:
    return {"percent": round(100 * float(right.mean()), 2), "seconds": round(seconds, 1), **told}


def linear_again() -> None:
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    for line in lines:
        at = cell(line["set"], line["backbone"], line["size"], line["seed"])
        assert at is not None
        for strategy, right, seconds, told in linear_rows(at):
            line["strategies"][strategy] = shown(right, seconds, told)
            line["right"][strategy] = "".join(map(str, right.astype(int)))
            print(line["set"], line["backbone"], line["size"], strategy, line["strategies"][strategy], flush=True)
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--backbones", default=",".join(BACKBONES))
    parser.add_argument("--sizes", default="20,all,5")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--linear-again", action="store_true")
    asked = parser.parse_args()
    if asked.linear_again:
        linear_again()
        return
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(row["set"], row["backbone"], row["size"], row["seed"]) for row in done}
    for seed, backbone, size, name in itertools.product(
        map(int, asked.seeds.split(",")), asked.backbones.split(","), asked.sizes.split(","), asked.sets.split(",")
    ):
        at = None if (name, backbone, size, seed) in keys else cell(name, backbone, size, seed)
        if at is None:
            continue
        strategies, hits = {}, {}
        for strategy, right, seconds, told in itertools.chain(linear_rows(at), tuned_rows(at, asked.scratch)):
            hits[strategy] = right
            strategies[strategy] = shown(right, seconds, told)
            print(name, backbone, size, seed, strategy, strategies[strategy], flush=True)
        line = {
            "set": name, "backbone": backbone, "input_px": BACKBONES[backbone], "size": size, "seed": seed,
            "train": len(at.rows), "test": len(at.test), "strategies": strategies,
            "right": {key: "".join(map(str, hit.astype(int))) for key, hit in hits.items()}, "machine": describe(),
        }  # fmt: skip
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
