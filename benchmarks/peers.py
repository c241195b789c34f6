"""Compared with fastai's ``fine_tune`` and the loop of PyTorch's tutorial: same weights, same split, same seconds.

    python benchmarks/peers.py [--sets …] [--sizes 20,all] [--seeds 3] [--input-px 128] [--before OLD] [--times 10]

Needs fastai in the interpreter that runs it; it is no dependency of graftwork.

The ImageNet MobileNetV2 of ``../shared``; the cells of ``strategies.py`` (groups and near-duplicates on one side, at least
100 test images). One system after the other, on the same files:

- ``fastai``: ``vision_learner`` on timm's network, Adam, batches of 32, 2 workers, item ``Resize`` to twice the input
  and ``aug_transforms(size=…, min_scale=0.75)`` by batch, ``fine_tune`` with its own defaults (base_lr 2e-3, one frozen
  epoch), 4 epochs on all images, 8 on 20 per class. It trains on the whole training part, without validation. Its
  wall-clock seconds, from the images to the trained network, are T.
- ``tutorial``: all weights by SGD (1e-3, momentum 0.9), batches of 4, random crop and flip, the learning rate divided by
  ten after 7 of 25 epochs and again after 14, the epoch with the highest accuracy on a fifth of the training part. As
  many epochs as fit into T, 1 to 25, the learning rate schedule shrunk with them. It does not train on the images that
  it validates on.
- ``graftwork``: ``train`` with ``time_limit=T`` from an empty cache: extraction, selection and the last fit are counted.
  Its accuracy is the test accuracy of its own run.
- ``linear probe``: the same with a softmax on the last layer only.

With ``--before`` a checkout of an earlier commit takes the places of the tutorial and the linear probe; the lines then
are those of ``peers_before.KIND.jsonl``. ``--times`` multiplies fastai's epochs, and with them everybody's seconds.

``seconds`` are those of training alone for the first two, of the whole call (report and projection included) for the
others, each in a process of its own; imports are never counted. ``right`` has a 0 or 1 for each test image, in one order for all systems. Each cell is
one line of ``benchmarks/results/peers.KIND.jsonl``, KIND being the processor's, and is not computed again.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import importlib.metadata
import itertools
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
import numpy as np
from datasets import GROUPS, SHARED
from processes import answer_of, commit_of
from strategies import Cell, cell

from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.core.splits import deal

HERE = Path(__file__).resolve().parents[1]
ARCHITECTURE = "mobilenetv2_100"
WEIGHTS = SHARED / "weights" / f"{ARCHITECTURE}.tv_in1k.safetensors"
SETS = ("rsscn7", "trashnet", "pacs-sketch", "hymenoptera")
EPOCHS = {"all": 4, "20": 8}
"""Epochs of fastai."""
TUTORIAL_EPOCHS, TUTORIAL_STEP, TUTORIAL_BATCH = 25, 7, 4
RESIZED = 256 / 224
WORKERS = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Files:
    """The images of a cell as files in class folders."""

    train: tuple[Path, ...]
    train_y: np.ndarray
    train_groups: np.ndarray
    test: tuple[Path, ...]
    test_y: np.ndarray
    test_digests: tuple[str, ...]
    classes: tuple[str, ...]
    root: Path


def write_files(at: Cell, root: Path) -> Files:
    """Write a cell's images, undecoded, into ``root/train`` and ``root/test``."""
    images = at.checked.images

    def write(part: str, rows: np.ndarray) -> tuple[Path, ...]:
        paths = []
        for row in rows:
            name = Path(images.names[row])
            folder, group = root / part / images.classes[images.labels[row]], at.checked.groups[row]
            path = folder / f"group{group}-{name.stem}-{row:05}{name.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(images.read(row))
            paths.append(path)
        return tuple(paths)

    return Files(
        train=write("train", at.rows),
        train_y=at.y[at.rows],
        train_groups=at.checked.groups[at.rows],
        test=write("test", at.test),
        test_y=at.y[at.test],
        test_digests=tuple(str(images.digests[row]) for row in at.test),
        classes=images.classes,
        root=root,
    )


def group_by(name: str) -> str | None:
    """Return the pattern of the groups of a set in the names that ``write_files`` gives."""
    return r"^group(\d+)-" if name in GROUPS else None


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    right: np.ndarray
    """(n_test,) in the order of ``Files.test``."""
    seconds: float
    details: dict[str, Any]


# --- peers


def fastai(files: Files, px: int, epochs: int, seed: int) -> Outcome:
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        IndexSplitter,
        Resize,
        aug_transforms,
        set_seed,
        vision_learner,
    )

    set_seed(seed)
    begin = time.perf_counter()
    name_of = {path: path.parent.name for path in files.train}
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=list(files.classes))),
        get_y=name_of.get,
        splitter=IndexSplitter([]),
        item_tfms=Resize(2 * px),
        batch_tfms=aug_transforms(size=px, min_scale=0.75),
    )
    loaders = block.dataloaders(list(files.train), bs=min(32, len(files.train)), num_workers=WORKERS)
    learner = vision_learner(loaders, ARCHITECTURE, pretrained_cfg_overlay={"file": str(WEIGHTS)})
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs)
        seconds = time.perf_counter() - begin
        rows, _ = learner.get_preds(dl=loaders.test_dl(list(files.test), num_workers=WORKERS))
    vocabulary = list(loaders.vocab)
    predicted = [vocabulary[i] for i in rows.argmax(dim=1).tolist()]
    right = np.array([name == files.classes[y] for name, y in zip(predicted, files.test_y, strict=True)])
    return Outcome(right, seconds, {"epochs": epochs, "version": importlib.metadata.version("fastai")})


def transforms_of(config: Any, px: int) -> tuple[Any, Any]:
    """Return the tutorial's transforms for training and for validation, at another size."""
    from torchvision import transforms

    last = [transforms.ToTensor(), transforms.Normalize(config["mean"], config["std"])]
    random = [transforms.RandomResizedCrop(px), transforms.RandomHorizontalFlip()]
    plain = [transforms.Resize(round(RESIZED * px)), transforms.CenterCrop(px)]
    return transforms.Compose([*random, *last]), transforms.Compose([*plain, *last])


def tutorial(files: Files, px: int, limit_seconds: float, seed: int) -> Outcome:
    import timm
    import torch
    from prefix import Labelled

    torch.manual_seed(seed)
    begin = time.perf_counter()
    network = timm.create_model(
        ARCHITECTURE, pretrained=True, pretrained_cfg_overlay={"file": str(WEIGHTS)}, num_classes=len(files.classes)
    )
    random, plain = transforms_of(network.pretrained_cfg, px)
    side = deal(files.train_y, files.train_groups, (0.8, 0.2), np.random.default_rng(seed))

    def loader(paths: Sequence[Path], y: np.ndarray, *, train: bool, batch: int = TUTORIAL_BATCH) -> Any:
        data = Labelled(paths, y, random if train else plain)
        return torch.utils.data.DataLoader(data, batch, shuffle=train, num_workers=WORKERS)

    def part(number: int, *, train: bool) -> Any:
        inside = np.flatnonzero(side == number)
        return loader([files.train[i] for i in inside], files.train_y[inside], train=train)

    def right_in(batches: Any) -> np.ndarray:
        network.eval()
        with torch.no_grad():
            return np.concatenate([(network(x).argmax(dim=1) == y).numpy() for x, y in batches])

    training, validation = part(0, train=True), part(1, train=False)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    loss_of = torch.nn.CrossEntropyLoss()
    best, best_state = -1.0, {}
    done, epochs, step, longest = 0, TUTORIAL_EPOCHS, TUTORIAL_STEP, 0.0
    while done < epochs and (done == 0 or time.perf_counter() - begin + longest <= limit_seconds):
        epoch_begin = time.perf_counter()
        network.train()
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * 0.1 ** (done // step)
        for inputs, targets in training:
            optimiser.zero_grad()
            loss_of(network(inputs), targets).backward()
            optimiser.step()
        share = float(right_in(validation).mean())
        if share > best:
            best, best_state = share, copy.deepcopy(network.state_dict())
        done += 1
        longest = max(longest, time.perf_counter() - epoch_begin)
        if done == 1:
            left = limit_seconds - (time.perf_counter() - begin)
            epochs = max(1, min(TUTORIAL_EPOCHS, 1 + int(left / longest)))
            step = max(1, round(TUTORIAL_STEP * epochs / TUTORIAL_EPOCHS))
    seconds = time.perf_counter() - begin
    network.load_state_dict(best_state)
    right = right_in(loader(files.test, files.test_y, train=False, batch=32))
    return Outcome(right, seconds, {"epochs": done, "epochs_planned": epochs, "validation": int((side == 1).sum())})


# --- graftwork


OWN = """
import json, sys, time
import accelerate, openvino, scipy, sklearn, torch
from graftwork.backbones.torchvision_import import make_torchvision_importable
make_torchvision_importable()
import timm
import graftwork
begin = time.perf_counter()
run = graftwork.train(**json.loads(sys.argv[1]))
seconds = time.perf_counter() - begin
hits = run.test.probabilities.argmax(axis=1) == run.test.y
print(json.dumps({
    "seconds": seconds,
    "right": {str(run.images.digests[row]): bool(hit) for row, hit in zip(run.test.rows, hits)},
    "chosen": run.trials[run.verdict.chosen].candidate.label,
    "tuned": [f"{trial.candidate.label}: {trial.ended}" for trial in run.trials if trial.curve],
    "stage_seconds": {stage: round(value, 1) for stage, value in run.stage_seconds.items()},
    "develop": len(run.y),
}))
"""


def own(files: Files, name: str, px: int, seed: int, checkout: Path = HERE, **settings: Any) -> Outcome:
    """Run a checkout's ``graftwork.train`` on the training files, tested on the test files, from an empty cache.

    Test images are matched by content; equal files are classified alike.
    """
    with tempfile.TemporaryDirectory() as place:
        settings |= {
            "data": str(files.root / "train"), "test": str(files.root / "test"), "output": f"{place}/run",
            "backbone": str(WEIGHTS), "input_px": px, "seed": seed, "group_by": group_by(name),
        }  # fmt: skip
        details = answer_of(
            [sys.executable, "-c", OWN, json.dumps(settings)],
            PYTHONPATH=str(checkout / "src"), GRAFTWORK_CACHE=f"{place}/cache", GRAFTWORK_HOME=place,
        )  # fmt: skip
    right, seconds = details.pop("right"), details.pop("seconds")
    return Outcome(np.array([right[digest] for digest in files.test_digests]), seconds, details)


# --- cells


def line_of(name: str, size: str, seed: int, px: int, before: Path | None, times: int) -> dict[str, Any] | None:
    at = cell(name, ARCHITECTURE, size, seed)
    if at is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(at, Path(folder))
        outcomes = {"fastai": fastai(files, px, times * EPOCHS[size], seed)}
        limit = outcomes["fastai"].seconds
        if before is None:
            outcomes["tutorial"] = tutorial(files, px, limit, seed)
        else:
            outcomes["graftwork before"] = own(files, name, px, seed, before, time_limit=limit)
        outcomes["graftwork"] = own(files, name, px, seed, time_limit=limit)
        if before is None:
            layer = at.backbone.card.taps[-1].name
            outcomes["linear probe"] = own(
                files, name, px, seed, strategy="linear", layer=layer, loss="softmax", time_limit=None
            )  # fmt: skip
    systems = {
        system: {
            "percent": round(100 * float(outcome.right.mean()), 2),
            "seconds": round(outcome.seconds, 1),
            **outcome.details,
            "right": "".join("01"[int(hit)] for hit in outcome.right),
        }
        for system, outcome in outcomes.items()
    }
    return {
        "set": name, "size": size, "seed": seed, "input_px": px, "train": len(at.rows), "test": len(at.test),
        "limit_seconds": round(limit, 1), "systems": systems, "load_average": round(os.getloadavg()[0], 1),
        **({} if before is None else {"commits": {"before": commit_of(before), "now": commit_of(HERE)}, "times": times}),
        "machine": machine.describe(),
    }  # fmt: skip


def show(line: dict[str, Any]) -> None:
    figures = {name: (row["percent"], row["seconds"]) for name, row in line["systems"].items()}
    print(line["set"], line["size"], line["seed"], figures, line["systems"]["graftwork"]["chosen"], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sizes", default=",".join(EPOCHS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--input-px", type=int, default=128)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit")
    parser.add_argument("--times", type=int, default=1, help="fastai's epochs, as a multiple")
    options = parser.parse_args()
    if options.times > 1 and options.before is None:
        parser.error("--times needs --before: the lines of peers.KIND.jsonl are those of fastai's own epochs")
    before = options.before and options.before.resolve()
    path = machine.results_path("peers_before" if before else "peers").with_suffix(".jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    keys = {(line["set"], line["size"], line["seed"], line["input_px"], line.get("times", 1)) for line in lines}
    make_torchvision_importable()
    warnings.filterwarnings("ignore")
    for seed, size, name in itertools.product(range(options.seeds), options.sizes.split(","), options.sets.split(",")):
        known = (name, size, seed, options.input_px, options.times) in keys
        line = None if known else line_of(name, size, seed, options.input_px, before, options.times)
        if line is None:
            continue
        show(line)
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
