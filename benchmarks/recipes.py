"""What a change to the default recipe is worth: all layers tuned, one choice made otherwise, on the same images.

    python benchmarks/recipes.py [--sets …] [--size 20] [--seeds 0,1,2] [--backbone …] [--only "lp-ft,lr 0.003"]

Cells are those of ``strategies.py``; each recipe is set beside the default one on the images that neither was trained
on. ``CHANGES`` are the recipe's constants, set otherwise. ``patience 5`` is judged by the images that it is tested on,
its best case. ``low rank`` is LoRA (Hu et al. 2021) of rank 8 on pointwise convolutions and linear layers, written here
with torch's parametrisations: PEFT cannot be imported without transformers. One line of data per cell and kind of
processor in ``results/recipes.jsonl``; recipes that a line lacks are added to it. Recipes that never won were taken out
of graftwork (``norms``: parameters of normalisation layers alone; ``ema``: an average of the weights, decay 0.99;
``l2-sp``: drawn to where the weights began with 0.1, Li et al. 2018; ``mixup``: mixup at alpha 0.2 or CutMix at 1, one
of them a batch); their lines stay. ``lr 0.001, X`` in the data is X at the rate 0.001 whatever the batch, the default
before; at all images the batch is full, and ``lp-ft`` is that rate itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe
from strategies import BACKBONES, DEFAULT, Cell, cell, linear
from torch import nn
from torch.nn.utils import parametrize

from graftwork.backbones.load import load
from graftwork.core.plans import Recipe, linear_candidates
from graftwork.core.recipes import recipe
from graftwork.finetune.cut import last_layer_network
from graftwork.finetune.loop import Classifier, Told, margins, train
from graftwork.finetune.sources import source_of
from graftwork.fit import FineTuneContext, tune_fold
from graftwork.linear.cross_validate import refit

RESULTS = Path(__file__).parent / "results" / "recipes.jsonl"
SETS = ("hymenoptera", "pacs-sketch", "rsscn7", "trashnet", "cells", "neu-steel", "dogcat")
CHANGES: dict[str, dict[str, Any]] = {
    "lp-ft": {},
    "patience 5": {"patience": 5},
    "layer decay 0.65": {"layer_decay": 0.65},
    "layer decay 1": {"layer_decay": 1.0},
    "no smoothing": {"label_smoothing": 0.0},
} | {f"lr {lr:g}": {"lr": lr} for lr in (3e-4, 5e-4, 1e-3, 3e-3)}
SHORTER = {"half of the epochs": 1 / 2, "a third of the epochs": 1 / 3}
RANK = 8
LOW_RANK = {"low rank lr 0.001": 1e-3, "low rank lr 0.01": 1e-2}


class LowRank(nn.Module):
    """W + B A, with B of zeros at the start."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        out, *inner = weight.shape
        self.a = nn.Parameter(torch.randn(RANK, int(np.prod(inner))) / np.prod(inner) ** 0.5)
        self.b = nn.Parameter(torch.zeros(out, RANK))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.b @ self.a).view_as(weight)


def low_rank(at: Cell, C: float, plan: Recipe) -> np.ndarray:
    """Margins of the images to test, of a network to which low-rank matrices were added and trained."""
    card, images, y = at.backbone.extraction.card, at.checked.images, at.y
    codes = at.backbone.codes(images)
    head = refit(
        codes.take(at.rows).of([card.taps[-1].name]), y[at.rows], n_classes=len(images.classes), loss="softmax", C=C
    )
    body = last_layer_network(load(card), card)
    body.network.requires_grad_(False)
    torch.manual_seed(at.seed)
    for module in list(body.network.modules()):
        pointwise = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
        if pointwise or isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", LowRank(module.weight))
            module.parametrizations.weight.original.requires_grad_(False)
    classifier = Classifier(body, *head).to(memory_format=torch.channels_last)
    groups = [{"params": [p for p in classifier.parameters() if p.requires_grad], "lr": plan.lr}]
    source = source_of(plan, images, card.preprocess, None, at.seed)
    train(
        classifier, groups, source, at.rows, y, plan, class_weight=None, held_out=at.test[:0], seed=at.seed, checkpoint=None,
        told=Told(),
    )  # fmt: skip
    return margins(classifier, source, at.test)


def rows_of(at: Cell, only: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Recipe, right or wrong of each test image, and what is to be said of it."""
    card = at.backbone.extraction.card
    _, found = linear(at, linear_candidates(card, layers=(card.taps[-1].name,), losses=("softmax",)))
    C, codes = found.chosen.details["C"], at.backbone.codes(at.checked.images)
    plan = recipe(len(at.rows))
    plans = {name: dataclasses.replace(plan, **changed) for name, changed in CHANGES.items()}
    plans |= {name: dataclasses.replace(plan, epochs=round(share * plan.epochs)) for name, share in SHORTER.items()}
    for name, asked in plans.items():
        if name not in only:
            continue
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            tuning = FineTuneContext(at.checked.images, lambda *_: codes, Path(folder), 10_000, at.seed, print)
            (tuned,) = tune_fold(
                asked, C, codes, at.y, len(at.checked.images.classes), at.rows, at.test, alphas=(1.0,), balanced=False,
                tuning=tuning, checkpoint=Path(folder) / "none",
            )  # fmt: skip
        told = {"seconds": round(time.perf_counter() - begin, 1), "epochs": len(tuned.curve)}
        yield name, at.right(tuned.margins), told
    for label, lr in LOW_RANK.items():
        if label not in only:
            continue
        begin = time.perf_counter()
        found_margins = low_rank(at, C, dataclasses.replace(plan, lr=lr))
        told = {"seconds": round(time.perf_counter() - begin, 1), "epochs": plan.epochs}
        yield label, at.right(found_margins), told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--backbone", default=DEFAULT, choices=tuple(BACKBONES))
    parser.add_argument("--size", default="20")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default=",".join(CHANGES), help="recipes, the default one among them")
    asked = parser.parse_args()
    known = [*CHANGES, *SHORTER, *LOW_RANK]
    unknown = set(asked.only.split(",")) - set(known)
    if unknown:
        parser.error(f"--only must name of {', '.join(known)}, not {', '.join(unknown)}")
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    of = {
        (line["set"], line["backbone"], line["size"], line["seed"], *line["machine"]["flags"]): line for line in lines
    }
    for seed, name in itertools.product(map(int, asked.seeds.split(",")), asked.sets.split(",")):
        key = name, asked.backbone, asked.size, seed, *describe()["flags"]
        line = of.get(key, {"recipes": {}, "right": {}})
        lacking = tuple(label for label in asked.only.split(",") if label not in line["recipes"])
        at = cell(name, asked.backbone, asked.size, seed) if lacking else None
        if at is None:
            continue
        for label, right, told in rows_of(at, lacking):
            line["right"][label] = "".join(map(str, right.astype(int)))
            line["recipes"][label] = {"percent": round(100 * float(right.mean()), 2), **told}
            print(name, asked.backbone, asked.size, seed, label, line["recipes"][label], flush=True)
        of[key] = {
            "set": name, "backbone": asked.backbone, "input_px": BACKBONES[asked.backbone], "size": asked.size, "seed": seed,
            "train": len(at.rows), "test": len(at.test), **line, "machine": describe(),
        }  # fmt: skip
        RESULTS.write_text("".join(json.dumps(each) + "\n" for each in of.values()))


if __name__ == "__main__":
    main()
