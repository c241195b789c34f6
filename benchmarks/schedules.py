"""What a cheaper schedule of fine-tuning costs in accuracy: the embedded default at its own input of 224 px.

    python benchmarks/schedules.py [--sets …] [--size 20] [--seeds 0,1] [--results FILE]

Every schedule trains on the same images from the linear model of its own input, with graftwork's recipe. ``160 px``
trains at 160 px; the network is tested at that size and at larger ones ("train small, test larger": Touvron et al.
2019). ``128, then 224`` trains two thirds of its epochs at 128 px and the rest at 224 (progressive resizing: Howard
2018; Tan and Le 2021). ``above LAYER`` freezes the lowest stages and runs the whole network in each epoch. Seconds are
of the processor, for the training alone; each process computes on one thread. One line of data per cell; schedules that
a line lacks are added to it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe
from strategies import DEFAULT, SETS, Cell, cell, on_last_layer

from graftwork.backbones.cards import with_input
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.core.recipes import recipe
from graftwork.finetune.folding import fold
from graftwork.finetune.learning_rates import parameter_groups
from graftwork.finetune.loop import margins, train
from graftwork.finetune.network import LinearHead, trainable
from graftwork.finetune.sources import Pixels, TrainingData
from graftwork.images.cached import cached_images
from graftwork.images.imageset import ImageSet
from graftwork.linear.cross_validate import refit
from graftwork.steps.backbones import Backbone

RESULTS = Path(__file__).parent / "results" / "schedules.jsonl"
FULL_PX = 224
VIEWS = 8
MOST_TESTED = 400
STORE_MB = 10_000


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long a network sees images of which size, and at which sizes it is tested."""

    sizes_px: tuple[int, ...]
    """One for all epochs, or one for each third of them."""
    tested_px: tuple[int, ...]
    freeze_to: str | None = None
    views: bool = False
    """Tested on the mean of ``VIEWS`` views too."""


SCHEDULES = {
    "224 px": Schedule((224,), (224,), views=True),
    "160 px": Schedule((160,), (160, 224), views=True),
    "128 px": Schedule((128,), (128, 160, 224)),
    "128, then 224 px": Schedule((128, 128, 224), (224,)),
    "224 px above blocks.1": Schedule((224,), (224,), "blocks.1"),
    "160 px above blocks.1": Schedule((160,), (160,), "blocks.1"),
    "128 px above blocks.1": Schedule((128,), (128,), "blocks.1"),
}


class Growing:
    """Images whose size grows from one third of the epochs to the next."""

    def __init__(self, sources: Sequence[Pixels], epochs: int) -> None:
        self._sources, self._epochs = sources, epochs

    def stream(self, batches: Sequence[Any], epoch: int | None, view: int = 0) -> Any:
        number = len(self._sources) - 1 if epoch is None else len(self._sources) * epoch // self._epochs
        return self._sources[number].stream(batches, epoch, view)


def at_px(backbone: Backbone, px: int) -> Backbone:
    card = with_input(backbone.card, input_px=px)
    return backbone.with_extraction(dataclasses.replace(backbone.extraction, card=card))


def head_of(at: Cell) -> LinearHead:
    _, result = on_last_layer(at)
    taps = result.chosen.candidate.taps
    codes = at.backbone.codes(at.checked.images).take(at.rows)
    classes = len(at.checked.images.classes)
    return refit(codes.of(taps), at.y[at.rows], n_classes=classes, loss="softmax", C=result.chosen.details["C"])


def pixels_at(card: BackboneCard, px: int, images: ImageSet, plan: Recipe, seed: int, folder: Path) -> Pixels:
    preprocess = with_input(card, input_px=px).preprocess
    decoded = cached_images(images, preprocess, folder / str(px), budget_mb=STORE_MB)
    return Pixels(images, preprocess, plan.augment, seed, decoded, VIEWS)


def run(at: Cell, schedule: Schedule, folder: Path) -> dict[str, tuple[np.ndarray, float]]:
    """Train; return whether each test image is classified correctly, and processor seconds, by the size tested at."""
    at = dataclasses.replace(at, backbone=at_px(at.backbone, schedule.sizes_px[-1]))
    plan = recipe(len(at.rows), schedule.freeze_to)
    used = np.sort(np.concatenate([at.rows, at.test]))
    images = at.checked.images.take(used)
    rows, test = np.flatnonzero(np.isin(used, at.rows)), np.flatnonzero(np.isin(used, at.test))
    data = TrainingData(images, at.y[used], rows, test[:0], None, None, None, at.seed, VIEWS)
    card = at.backbone.card
    model = trainable(card, plan, head_of(at), cached=False, seed=at.seed)
    fold(model.network.network, model.pairs)
    source_at = functools.partial(pixels_at, card, images=images, plan=plan, seed=at.seed, folder=folder)
    source = Growing([source_at(px) for px in schedule.sizes_px], plan.epochs)
    groups = parameter_groups(model.classifier.body, model.classifier.head, model.stages, plan)
    begin = time.process_time()
    train(model.classifier, groups, source, data, plan, checkpoint=None)
    seconds = time.process_time() - begin
    results = {}
    for px in schedule.tested_px:
        for views in (1, VIEWS) if schedule.views else (1,):
            begin = time.process_time()
            scores = margins(model.classifier, source_at(px), test, views)[views]
            label = f"tested at {px}" + (f", {views} views" if views > 1 else "")
            results[label] = at.right(scores), seconds, (time.process_time() - begin) / len(test)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--size", default="20")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--only", default="; ".join(SCHEDULES), help="schedules, separated by semicolons")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    line_of = {(line["set"], line["size"], line["seed"]): line for line in lines}
    for seed, name in itertools.product(map(int, options.seeds.split(",")), options.sets.split(",")):
        key = name, options.size, seed
        line = line_of.get(key, {"schedules": {}})
        missing = [label.strip() for label in options.only.split(";") if label.strip() not in line["schedules"]]
        at = cell(name, DEFAULT, options.size, seed) if missing else None
        if at is None:
            continue
        few = np.random.default_rng([seed, 2]).permutation(at.test)[:MOST_TESTED]
        at = dataclasses.replace(at, test=np.sort(few))
        with tempfile.TemporaryDirectory() as folder:
            for label in missing:
                results = run(at, SCHEDULES[label], Path(folder))
                line["schedules"][label] = {
                    tested: {
                        "percent": round(100 * float(right.mean()), 2),
                        "seconds": round(seconds, 1),
                        "seconds_per_image_tested": round(per_image, 4),
                        "right": "".join(map(str, right.astype(int))),
                    }
                    for tested, (right, seconds, per_image) in results.items()
                }
                shown = {tested: row["percent"] for tested, row in line["schedules"][label].items()}
                print(name, options.size, seed, label, next(iter(results.values()))[1], shown, flush=True)
                about = {"set": name, "size": options.size, "seed": seed, "train": len(at.rows), "test": len(at.test)}
                line_of[key] = {**about, **line, "machine": describe()}
                options.results.write_text("".join(json.dumps(each) + "\n" for each in line_of.values()))


if __name__ == "__main__":
    main()
