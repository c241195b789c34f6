"""Which strategy wins where: sets x sizes x strategies x seeds, tested on up to 400 images not trained on.

    python benchmarks/strategies.py [--sets …] [--sizes all,20,5] [--seeds 0,1,2] [--backbones …] [--scratch]

Strategies: a linear model on the last layer; on the best layer by cross-validation on the training images; the same on
codes averaged over 8 views; fine-tuned above the highest cut that graftwork tries by default, above the lowest stages,
in all layers, and above the lowest stages at a smaller input; each of these with WiSE-FT (alpha 0.5), or averaged over
8 views, too; with ``--scratch`` also the same network from random weights, for four times as many epochs. Recipes are
graftwork's; ``recipes.py`` and ``schedules.py`` try others.

``seconds`` are those of the processor, from an empty cache: decoding and extraction of the images to train on are
counted, tests are not. One thread computes, so that they are seconds of one core, whatever else runs. Cells are computed in order of
priority; each is one line of ``benchmarks/results/strategies.jsonl`` once it is done, and is not computed again. Images
of one group (patient, smear, drawing) and near-duplicates are never on both sides.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import GROUPS, SHARED, path_of
from machine import describe

from graftwork.codes.store import Store
from graftwork.core.fitted import probabilities
from graftwork.core.options import DataOptions, ExtractionOptions, FineTuneOptions
from graftwork.core.plans import Candidate, Recipe, linear_candidates, recipe_of
from graftwork.core.recipes import WISE_FT_ALPHA, fine_tuning_candidates
from graftwork.core.splits import deal, make_split
from graftwork.core.trials import Task
from graftwork.finetune.context import FineTuneContext
from graftwork.finetune.fold import cached_inputs, tune_fold
from graftwork.finetune.tune import FineTuned
from graftwork.fit import fit
from graftwork.listener import Listener
from graftwork.steps.backbones import Backbone, open_backbone
from graftwork.steps.prepare import CheckedImages, check_images
from graftwork.steps.search import SearchResult, search

RESULTS = Path(__file__).parent / "results" / "strategies.jsonl"
SETS = ("rsscn7", "trashnet", "pacs-sketch", "hymenoptera", "digits", "neu-steel", "cells", "xray", "dogcat")
DEFAULT = "efficientnet_lite0"
BACKBONES = {DEFAULT: 96, "mobilenetv2_100": 96}
"""Input in pixels."""
VIEWS = 8
SMALLER_PX = 64
FEWEST_TESTED, MOST_TESTED = 100, 400
STORE_MB = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """One backbone, the images to train on, and the images to test on."""

    checked: CheckedImages
    backbone: Backbone
    rows: np.ndarray
    """Indices of the images to train on."""
    test: np.ndarray
    """Indices of the images to test on."""
    seed: int

    @property
    def y(self) -> np.ndarray:
        return self.checked.images.labels

    @property
    def task(self) -> Task:
        """The images to train on, dealt into up to five folds."""
        y, groups = self.y[self.rows], self.checked.groups[self.rows]
        folds = deal(y, groups, (1.0,) * min(5, int(np.bincount(y).min())), np.random.default_rng(self.seed))
        return Task(y, groups, folds, self.checked.images.classes, seed=self.seed)

    def right(self, scores: np.ndarray) -> np.ndarray:
        """Whether each test image is classified correctly by scores (n_test, k)."""
        return np.asarray(scores.argmax(axis=1) == self.y[self.test])


@functools.cache
def checked_images(name: str) -> CheckedImages:
    return check_images(path_of(name), DataOptions(group_by=GROUPS.get(name)))


@functools.cache
def backbone_for(name: str, backbone: str) -> Backbone:
    path = SHARED / "weights" / f"{backbone}.tv_in1k.safetensors"
    options = ExtractionOptions(input_px=BACKBONES[backbone])
    return open_backbone(str(path) if path.exists() else backbone, options, checked_images(name).images)


def cell(name: str, backbone: str, size: str, seed: int) -> Cell | None:
    """Choose the training and test images; None where fewer than ``FEWEST_TESTED`` test images would be left."""
    checked = checked_images(name)
    y, groups = checked.images.labels, checked.groups
    fraction = max(0.2, 1.1 * FEWEST_TESTED / len(y))
    split = make_split(y, groups, seed=seed, test_fraction=fraction, n_folds=2)
    rows = split.develop
    if size != "all":
        order = np.random.default_rng([seed, 1]).permutation(rows)
        rows = np.sort(np.concatenate([order[y[order] == c][: int(size)] for c in np.unique(y)]))
    test = np.flatnonzero(~np.isin(groups, groups[rows]))
    test = np.sort(np.random.default_rng([seed, 2]).permutation(test)[:MOST_TESTED])
    return Cell(checked, backbone_for(name, backbone), rows, test, seed) if len(test) >= FEWEST_TESTED else None


@contextlib.contextmanager
def empty_store(at: Cell) -> Iterator[Cell]:
    """Give the cell with a cache that holds no codes."""
    with tempfile.TemporaryDirectory() as folder:
        yield dataclasses.replace(at, backbone=dataclasses.replace(at.backbone, store=Store(Path(folder))))


def linear(
    at: Cell, candidates: tuple[Candidate, ...], views: int = 1
) -> tuple[Callable[[], np.ndarray], SearchResult]:
    """Choose a linear model and fit it; return what gives its probabilities (n_test, k), and the search."""
    backbone, task, images = at.backbone.with_views(views), at.task, at.checked.images
    codes = backbone.codes(images.take(at.rows))
    result = search(candidates, lambda _: codes, task, costs=[1.0] * len(candidates), features={})
    fitted = fit(result.chosen, codes, task)

    def tested() -> np.ndarray:
        return probabilities(fitted, backbone.codes(images.take(at.test)).of(result.chosen.candidate.taps))

    return tested, result


def fine_tuned(
    at: Cell, recipe: Recipe, C: float, alphas: Sequence[float] = (1.0,), views: int = 1
) -> tuple[tuple[FineTuned, ...], float]:
    """Fine-tune from the linear model of ``C``; return one result per alpha, and the seconds without any test.

    A result has margins (n_test, k) by number of views.
    """
    used = np.sort(np.concatenate([at.rows, at.test]))
    images = at.checked.images.take(used)
    task = Task(at.y[used], at.checked.groups[used], np.zeros(len(used), int), images.classes, seed=at.seed)
    backbone = at.backbone.with_input(recipe.input_px)
    with tempfile.TemporaryDirectory() as folder:
        context = FineTuneContext(
            images=images,
            extract=lambda extraction: at.backbone.with_extraction(extraction).codes(images),
            folder=Path(folder),
            store_mb=STORE_MB,
            seed=at.seed,
            n_refits=1,
            listener=Epochs(),
        )
        codes = backbone.codes(images)
        begin = time.process_time()
        cached_inputs(recipe, codes.extraction, context)  # of the images to test on, too
        seconds = (time.process_time() - begin) * len(at.rows) / len(used)
        begin = time.process_time()
        results = tune_fold(
            recipe, C, codes, task, np.flatnonzero(np.isin(used, at.test)), alphas=alphas,
            context=context, checkpoint=Path(folder) / "checkpoint", views=views,
        )  # fmt: skip
        return results, seconds + context.listener.end - begin


class Epochs(Listener):
    """Knows when the last epoch ended."""

    end = 0.0

    def progress(self, done: int, total: int) -> None:
        self.end = time.process_time()


Row = tuple[str, np.ndarray, float, dict[str, Any]]
"""Strategy, whether each test image is classified correctly, seconds, and what was chosen."""


def on_last_layer(at: Cell) -> tuple[Callable[[], np.ndarray], SearchResult]:
    card = at.backbone.card
    return linear(at, linear_candidates(card, layers=(card.taps[-1].name,), losses=("softmax",)))


def linear_rows(at: Cell) -> Iterator[Row]:
    card = at.backbone.card
    with empty_store(at) as empty:
        begin = time.process_time()
        tested, _ = on_last_layer(empty)
        seconds = time.process_time() - begin
        yield "linear, last layer", at.right(tested()), seconds, {}
    with empty_store(at) as empty:
        begin = time.process_time()
        tested, result = linear(empty, linear_candidates(card))
        seconds = time.process_time() - begin
        chosen = result.chosen.candidate
        yield "linear, best layer", at.right(tested()), seconds, {"layer": chosen.label}
        begin = time.process_time()  # after the plain view, as in a run
        tested, _ = linear(empty, (dataclasses.replace(chosen, views=VIEWS),), VIEWS)
        seconds += time.process_time() - begin
        yield f"linear, {VIEWS} views", at.right(tested()), seconds, {"layer": chosen.label}


def fine_tuned_rows(at: Cell, scratch: bool) -> Iterator[Row]:
    card = at.backbone.card
    candidates = fine_tuning_candidates(card, len(at.rows), FineTuneOptions(scratch=scratch), smaller=SMALLER_PX)
    smaller = recipe_of(next(candidate for candidate in candidates if candidate.smaller_px))
    above_lowest = dataclasses.replace(candidates[0], plan=dataclasses.replace(smaller, input_px=None))
    highest, _, *others = candidates
    for candidate in (highest, *others, above_lowest):
        recipe = recipe_of(candidate)
        alphas = (1.0,) if candidate.plan.kind == "scratch" else (1.0, WISE_FT_ALPHA)
        with empty_store(dataclasses.replace(at, backbone=at.backbone.with_input(recipe.input_px))) as empty:
            begin = time.process_time()
            _, result = on_last_layer(empty)
            seconds = time.process_time() - begin
            results, training = fine_tuned(empty, recipe, result.chosen.details["C"], alphas, VIEWS)
            seconds += training
        for alpha, tuned in zip(alphas, results, strict=True):
            label = dataclasses.replace(recipe, alpha=alpha).label
            for views, margins in tuned.margins.items():
                several = f", {views} views" if views > 1 else ""
                yield f"{label}{several}", at.right(margins), seconds, {"epochs": recipe.epochs}


def as_stored(right: np.ndarray, seconds: float, details: dict[str, Any]) -> dict[str, Any]:
    return {"percent": round(100 * float(right.mean()), 2), "seconds": round(seconds, 1), **details}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--backbones", default=",".join(BACKBONES))
    parser.add_argument("--sizes", default="20,all,5")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: Path = options.results
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    keys = {(row["set"], row["backbone"], row["size"], row["seed"]) for row in done}
    for seed, backbone, size, name in itertools.product(
        map(int, options.seeds.split(",")),
        options.backbones.split(","),
        options.sizes.split(","),
        options.sets.split(","),
    ):
        at = None if (name, backbone, size, seed) in keys else cell(name, backbone, size, seed)
        if at is None:
            continue
        strategies, right_of = {}, {}
        for strategy, right, seconds, details in itertools.chain(linear_rows(at), fine_tuned_rows(at, options.scratch)):
            right_of[strategy] = right
            strategies[strategy] = as_stored(right, seconds, details)
            print(name, backbone, size, seed, strategy, strategies[strategy], flush=True)
        line = {
            "set": name, "backbone": backbone, "input_px": BACKBONES[backbone], "size": size, "seed": seed,
            "train": len(at.rows), "test": len(at.test), "strategies": strategies,
            "right": {key: "".join(map(str, right.astype(int))) for key, right in right_of.items()}, "machine": describe(),
        }  # fmt: skip
        with results.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
