"""What one change to the default recipe gains: all layers fine-tuned, the same images, one setting changed.

    python benchmarks/recipes.py [--sets …] [--size 20] [--seeds 0,1,2] [--backbone …] [--only "lp-ft,lr 0.003"] [--results FILE]

Cells are those of ``strategies.py``; each recipe is compared with the default one on the images that neither was
trained on. ``CHANGES`` gives the recipe's constants other values. ``patience 5`` stops early by the images that it is
tested on, its best case. ``low rank`` is LoRA (Hu et al. 2021) of rank 8 on pointwise convolutions and linear layers,
written here with torch's parametrisations: PEFT cannot be imported without transformers. ``in float32`` and ``in
bfloat16`` train in that precision, whichever is faster (``results/precision.jsonl``). One line of data per cell and kind
of processor in ``results/recipes.jsonl``; recipes that a line lacks are added to it. Recipes that never won were
removed from graftwork (``norms``: only the parameters of normalisation layers are trained; ``ema``: an exponential
moving average of the weights, decay 0.99; ``l2-sp``: an L2 penalty of 0.1 on the distance to the initial weights, Li et
al. 2018; ``mixup``: mixup with alpha 0.2 or CutMix with alpha 1, one of them per batch); their lines stay. ``lr 0.001,
X`` in the data is X at the learning rate 0.001 whatever the batch size, the former default; on all images the batch is
full, and ``lp-ft`` has that learning rate itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from machine import describe
from strategies import BACKBONES, DEFAULT, Cell, cell, fine_tuned, on_last_layer
from torch import nn
from torch.nn.utils import parametrize

from graftwork.backbones.load import load
from graftwork.core.plans import Recipe
from graftwork.core.recipes import recipe
from graftwork.finetune import network
from graftwork.finetune.cut import last_layer_network
from graftwork.finetune.engine import Precision, TrainingEngine, training_engine
from graftwork.finetune.loop import margins, train
from graftwork.finetune.network import Classifier
from graftwork.finetune.sources import TrainingData, source_of
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
PRECISIONS: dict[str, Precision] = {"in float32": "float32", "in bfloat16": "bfloat16"}
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
    """Add low-rank matrices to a network and train these alone; return the margins of the test images."""
    card, images, y = at.backbone.card, at.checked.images, at.y
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
    classifier = Classifier(body, head, training_engine(card)).to(memory_format=torch.channels_last)
    groups = [{"params": [p for p in classifier.parameters() if p.requires_grad], "lr": plan.lr}]
    data = TrainingData(
        images=images,
        y=y,
        rows=at.rows,
        validation=at.test[:0],
        activations=None,
        decoded=None,
        class_weights=None,
        seed=at.seed,
    )
    source = source_of(plan, data, card.preprocess)
    train(classifier, groups, source, data, plan, checkpoint=None)
    return margins(classifier, source, at.test)[1]


def rows_of(at: Cell, only: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Recipe, whether each test image is classified correctly, and the seconds and epochs of the training."""
    _, result = on_last_layer(at)
    C = result.chosen.details["C"]
    default = recipe(len(at.rows))
    plans = {name: dataclasses.replace(default, **changed) for name, changed in CHANGES.items()}
    plans |= dict.fromkeys(PRECISIONS, default) | {
        name: dataclasses.replace(default, epochs=round(share * default.epochs)) for name, share in SHORTER.items()
    }
    for name, plan in plans.items():
        if name not in only:
            continue
        begin = time.perf_counter()
        engine = TrainingEngine(PRECISIONS[name], {}) if name in PRECISIONS else training_engine(at.backbone.card)
        with mock.patch.object(network, "training_engine", return_value=engine):
            (tuned,), _ = fine_tuned(at, plan, C)
        details = {"seconds": round(time.perf_counter() - begin, 1), "epochs": len(tuned.curve)}
        yield name, at.right(tuned.margins[1]), details
    for name, lr in LOW_RANK.items():
        if name not in only:
            continue
        begin = time.perf_counter()
        scores = low_rank(at, C, dataclasses.replace(default, lr=lr))
        details = {"seconds": round(time.perf_counter() - begin, 1), "epochs": default.epochs}
        yield name, at.right(scores), details


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--backbone", default=DEFAULT, choices=tuple(BACKBONES))
    parser.add_argument("--size", default="20")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default=",".join(CHANGES), help="recipes to run")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    known = [*CHANGES, *PRECISIONS, *SHORTER, *LOW_RANK]
    unknown = set(options.only.split(",")) - set(known)
    if unknown:
        parser.error(f"--only must be some of {', '.join(known)}, but has {', '.join(unknown)}")
    results: Path = options.results
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    line_of = {
        (line["set"], line["backbone"], line["size"], line["seed"], *line["machine"]["flags"]): line for line in lines
    }
    for seed, name in itertools.product(map(int, options.seeds.split(",")), options.sets.split(",")):
        key = name, options.backbone, options.size, seed, *describe()["flags"]
        line = line_of.get(key, {"recipes": {}, "right": {}})
        missing = tuple(label for label in options.only.split(",") if label not in line["recipes"])
        at = cell(name, options.backbone, options.size, seed) if missing else None
        if at is None:
            continue
        for label, right, details in rows_of(at, missing):
            line["right"][label] = "".join(map(str, right.astype(int)))
            line["recipes"][label] = {"percent": round(100 * float(right.mean()), 2), **details}
            print(name, options.backbone, options.size, seed, label, line["recipes"][label], flush=True)
        line_of[key] = {
            "set": name, "backbone": options.backbone, "input_px": BACKBONES[options.backbone], "size": options.size, "seed": seed,
            "train": len(at.rows), "test": len(at.test), **line, "machine": describe(),
        }  # fmt: skip
        results.write_text("".join(json.dumps(each) + "\n" for each in line_of.values()))


if __name__ == "__main__":
    main()
