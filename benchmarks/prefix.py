"""Training above a cut on cached activations, compared with a PyTorch loop: seconds per epoch, and accuracy.

    python benchmarks/prefix.py [--rounds 5] [--networks resnet18,resnet50] [--no-accuracy]
    python benchmarks/prefix.py --networks "" [--sets …] [--sizes 20,all] [--seeds 0,1,2]     # accuracy only

400 JPEG files of 768 x 512, timm's networks at 224 px with seeded random weights, frozen up to the third stage
(``layer3``) and up to all but the last block (``layer4.0`` of ResNet-18, ``layer4.1`` of ResNet-50; a card has layers
at the ends of stages only, so this cut is made here by hand). Batches of 32, AdamW. In turns, in one process tree:

- ``peers``: torch's DataLoader with 2 persistent workers, Pillow, timm's random crop and flip, eager float32 in torch's
  default layout through the whole network, backward through the tail. Frozen modules take no gradient and are in eval
  mode, which is faster than the train mode of most tutorials;
- ``through``: graftwork's loop, the same cut, running the whole network in every epoch;
- ``cached``: graftwork's loop on the activations of 8 cached augmentations, computed before and not counted.

Each round times one epoch of each, after an epoch that is not counted. Ours end with a checkpoint, as in a run; the
seconds to write it are recorded separately. Medians of the rounds; ratios are medians of the rounds' own ratios. By
operation counts (torch's counter, forward, one image) the speedup through / cached is possibly (whole + 2 tail) /
(3 tail).

Accuracy: cells of ``strategies.py`` with the ImageNet MobileNetV2 at 96 px and its recipe, cut where graftwork cuts
first; trained on cached activations (``cached``), and through the network on the same cached augmentations, decoded
again in every epoch (``through``). Rounding alone makes two trainings diverge, so a third one measures how far:
``again`` runs the whole network, too, with float32 below the cut, as the cached activations were computed (it says
nothing where the loop trains in float32 anyway).
Writes ``benchmarks/results/prefix.KIND.json``, KIND being the processor's; parts that were not run stay as they were,
and a cell that the file has is not computed again.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from extraction import write_photos
from forward import forward_macs, random_card
from PIL import Image
from strategies import cell, on_last_layer
from torch import nn

from graftwork.backbones.load import load
from graftwork.codes.extract import LayerCodes, extract
from graftwork.codes.settings import ExtractionSettings
from graftwork.codes.store import Store
from graftwork.core.facts import BackboneCard, Tap
from graftwork.core.plans import Recipe
from graftwork.core.recipes import CACHED_AUGMENTATIONS, cut_layers, recipe
from graftwork.finetune.cut import Cut, Tail, activations_tap, cut_of, find_cut, last_layer_network, module_calls
from graftwork.finetune.engine import training_engine
from graftwork.finetune.learning_rates import parameter_groups, stages
from graftwork.finetune.loop import margins, train
from graftwork.finetune.network import Classifier, LinearHead
from graftwork.finetune.sources import CachedActivations, Pixels, Source, TrainingData
from graftwork.images.imageset import ImageSet, hash_images
from graftwork.images.pixels import normalise
from graftwork.images.read import read_images
from graftwork.images.views import View, views
from graftwork.linear.cross_validate import refit
from graftwork.listener import Listener

NETWORKS = "resnet18,resnet50"
IMAGES = 400
BACKBONE = "mobilenetv2_100"
"""For the accuracy."""
BATCH = 32
REQUIRED = {"times_peers": 3.0, "share_of_possible_speedup": 0.8, "accuracy_points": 0.5}
STEM = ("conv1", "bn1", "act1", "maxpool")


def last_block_cut(network: nn.Module, input_px: int) -> Cut:
    """Return the cut below the last block of a ResNet."""
    stages_below = ("layer1", "layer2", "layer3")
    blocks = [f"layer4.{number}" for number in range(len(network.get_submodule("layer4")) - 1)]  # type: ignore[arg-type]
    below = (*STEM, *stages_below, *blocks[:-1])
    calls = module_calls(network, input_px)
    shapes = {name: calls[name].shape or () for name in (*below, blocks[-1])}
    return Cut(blocks[-1], blocks[-1], shapes[blocks[-1]], below, tuple(shapes[name] for name in below), relu=True)


def freeze(network: nn.Module, cut: Cut) -> None:
    for name in (*cut.below, cut.module):
        network.get_submodule(name).eval().requires_grad_(False)


class ActivationsEngine:
    """Gives the activations at several cuts from one forward pass, 32 images at a time."""

    name = "eager"

    def __init__(self, card: BackboneCard, cuts: Sequence[Cut]) -> None:
        self._card, self._cuts = card, cuts
        self._network = load(card).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Mapping[str, np.ndarray]]:
        activations: dict[str, np.ndarray] = {}
        for cut in self._cuts:
            hook = functools.partial(self._note, cut, activations)
            self._network.get_submodule(cut.module).register_forward_hook(hook)
        batches = iter(batches)
        while images := list(itertools.islice(batches, BATCH)):
            inputs = torch.from_numpy(normalise(np.concatenate(images), self._card.preprocess))
            with torch.inference_mode(), training_engine(self._card).computing(inputs.device):
                self._network(inputs.contiguous(memory_format=torch.channels_last))
            yield dict(activations)

    @staticmethod
    def _note(
        cut: Cut, activations: dict[str, np.ndarray], module: nn.Module, inputs: Any, output: torch.Tensor
    ) -> None:
        activations[cut.layer] = output.float().contiguous().flatten(1).numpy().copy()


def cached_activations(card: BackboneCard, cuts: Sequence[Cut], images: ImageSet, folder: Path) -> LayerCodes:
    """Return the activations of all images in ``CACHED_AUGMENTATIONS`` views."""
    taps = [Tap(cut.layer, 0.5, int(np.prod(cut.shape)), pool="none", relu=True) for cut in cuts]
    extraction = ExtractionSettings(
        dataclasses.replace(card, taps=()), "eager", views=CACHED_AUGMENTATIONS, activations=tuple(taps)
    )
    return extract(images, extraction, lambda: ActivationsEngine(card, cuts), Store(folder))


def classifier_at(
    card: BackboneCard, cut: Cut, head: LinearHead, plan: Recipe, *, through: bool
) -> tuple[Classifier, list[dict[str, Any]]]:
    """Return a classifier and its optimiser's groups, as ``finetune.network`` makes them, at any cut."""
    body = last_layer_network(load(card), card)
    stage_of = stages(body, card)
    trained: nn.Module = body
    if through:
        freeze(body.network, cut)
    else:
        trained = Tail(body, cut, card.preprocess.input_px)
    classifier = Classifier(trained, head, training_engine(card)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return classifier, parameter_groups(trained, classifier.head, stage_of, plan)


def training_data(images: ImageSet, y: np.ndarray, rows: np.ndarray, *, seed: int) -> TrainingData:
    """Return what a training takes, without validation images; where its batches come from is given separately."""
    return TrainingData(
        images=images,
        y=y,
        rows=rows,
        validation=rows[:0],
        activations=None,
        decoded=None,
        class_weights=None,
        seed=seed,
    )


# --- seconds


class Labelled(torch.utils.data.Dataset):
    """Labelled images from files, as tutorials of PyTorch write it."""

    def __init__(self, paths: Sequence[Path], y: np.ndarray, transform: Callable[[Any], torch.Tensor]) -> None:
        self.paths, self.y, self.transform = list(paths), y, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.paths[index]).convert("RGB")), int(self.y[index])


def peers_epoch(card: BackboneCard, cut: Cut, images: ImageSet) -> Callable[[], float]:
    """Return what times one epoch of the loop of PyTorch's tutorials."""
    import timm.data

    network: Any = load(card)
    network.reset_classifier(len(images.classes))
    network.train()
    freeze(network, cut)
    transform = timm.data.create_transform(input_size=(3, 224, 224), is_training=True, color_jitter=None)
    data = Labelled([images.root / name for name in images.names], images.labels, transform)
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-4)
    loss_of = nn.CrossEntropyLoss()

    def run() -> float:
        begin = time.perf_counter()
        for inputs, targets in loader:
            optimiser.zero_grad()
            loss = loss_of(network(inputs), targets)
            loss.backward()
            optimiser.step()
            loss.item()
        return time.perf_counter() - begin

    return run


def own_epoch(card: BackboneCard, cut: Cut, images: ImageSet, source: Source, *, through: bool) -> tuple[float, float]:
    """Time the second epoch of graftwork's loop, and the checkpoint in it; both in seconds."""
    plan = Recipe(cut.layer, epochs=2, batch_size=BATCH, cached_augmentations=0 if through else CACHED_AUGMENTATIONS)
    classes, width = len(images.classes), card.taps[-1].channels
    weight = np.random.default_rng(0).normal(0, 0.01, (classes, width)).astype(np.float32)
    classifier, groups = classifier_at(card, cut, (weight, np.zeros(classes, np.float32)), plan, through=through)
    rows = np.arange(len(images))
    epochs = EpochEnds()
    with tempfile.TemporaryDirectory() as folder:
        data = training_data(images, images.labels, rows, seed=0)
        train(classifier, groups, source, data, plan, checkpoint=Path(folder) / "checkpoint", listener=epochs)
        last_checkpoint = time.perf_counter() - epochs.ends[1]
    return epochs.ends[1] - epochs.ends[0], last_checkpoint


class EpochEnds(Listener):
    """Notes when each epoch ends, before its checkpoint is written."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def progress(self, done: int, total: int) -> None:
        self.ends.append(time.perf_counter())


def counts(card: BackboneCard, cut: Cut) -> tuple[int, int]:
    """Return the multiply-accumulates of one image's forward pass: of the whole network, and above the cut."""
    px = card.preprocess.input_px
    body = last_layer_network(load(card), card)
    whole = forward_macs(lambda: body(torch.zeros(1, px, px, 3, dtype=torch.uint8)))
    tail = Tail(body, cut, px)
    return whole, forward_macs(lambda: tail(torch.zeros(1, int(np.prod(cut.shape)))))


def seconds_rows(architecture: str, folder: Path, rounds: int) -> list[dict[str, Any]]:
    card = random_card(architecture, folder)
    images = read_images(folder / "photos")
    hash_images(images)
    network = load(card)
    px = card.preprocess.input_px
    cuts = [find_cut(network, card, "layer3"), last_block_cut(network, px)]
    begin = time.perf_counter()
    activations = cached_activations(card, cuts, images, folder / "codes")
    print(
        f"{architecture}: activations in {CACHED_AUGMENTATIONS} views, {time.perf_counter() - begin:.0f} s", flush=True
    )
    return [seconds_row(architecture, card, cut, images, activations, rounds) for cut in cuts]


def seconds_row(
    architecture: str, card: BackboneCard, cut: Cut, images: ImageSet, activations: LayerCodes, rounds: int
) -> dict[str, Any]:
    peers = peers_epoch(card, cut, images)
    pixels = Pixels(images, card.preprocess, "crop", seed=0)
    ours = CachedActivations(activations, cut.layer, seed=0)
    peers()
    seconds: dict[str, list[float]] = {"peers": [], "through": [], "cached": []}
    checkpoints = []
    for _ in range(rounds):
        seconds["peers"].append(peers())
        seconds["through"].append(own_epoch(card, cut, images, pixels, through=True)[0])
        one, checkpoint = own_epoch(card, cut, images, ours, through=False)
        seconds["cached"].append(one)
        checkpoints.append(checkpoint)
    whole, tail = counts(card, cut)
    possible = (whole + 2 * tail) / (3 * tail)
    ratio = {
        name: statistics.median(a / b for a, b in zip(seconds[name], seconds["cached"], strict=True))
        for name in ("peers", "through")
    }
    row = {
        "network": architecture,
        "frozen_to": cut.layer,
        "bytes_per_image": cut.bytes_per_image,
        "images": len(images),
        "seconds_per_epoch": {name: round(statistics.median(values), 2) for name, values in seconds.items()},
        "rounds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "checkpoint_seconds": round(statistics.median(checkpoints), 2),
        "times_peers": round(ratio["peers"], 2),
        "times_through": round(ratio["through"], 2),
        "gmacs": {"whole": round(whole / 1e9, 3), "tail": round(tail / 1e9, 3)},
        "possible_speedup": round(possible, 2),
        "share_of_possible_speedup": round(ratio["through"] / possible, 3),
        "precision": training_engine(card).precision,
        "load_average": round(os.getloadavg()[0], 1),
        "machine": machine.describe(),
    }
    print({key: value for key, value in row.items() if key not in ("rounds", "machine")}, flush=True)
    return row


# --- accuracy


class CachedAugmentations(Pixels):
    """Each image decoded in the view whose activations ``CachedActivations`` would draw."""

    def _view(self, epoch: int | None, image: int) -> View | None:
        if epoch is None:
            return None
        augmented = views(CACHED_AUGMENTATIONS, seed=0)
        return augmented[int(np.random.default_rng([self._seed, epoch, image]).integers(len(augmented)))]


def in_float32(network: nn.Module, cut: Cut) -> None:
    """Run everything below a cut in float32, whatever the loop's precision."""

    def exact(forward: Callable[..., Any]) -> Callable[..., Any]:
        def called(*inputs: torch.Tensor) -> Any:
            with torch.autocast("cpu", enabled=False):
                return forward(*(value.float() for value in inputs))

        return called

    for name in (*cut.below, cut.module):
        module = network.get_submodule(name)
        module.forward = exact(module.forward)


def accuracy_row(name: str, size: str, seed: int) -> dict[str, Any] | None:
    at = cell(name, BACKBONE, size, seed)
    if at is None:
        return None
    card, images = at.backbone.card, at.checked.images
    layer = cut_layers(card)[0][0]
    cut = cut_of(card, layer)
    plan = recipe(len(at.rows), layer, cached=True)
    _, result = on_last_layer(at)
    codes = at.backbone.codes(images).take(at.rows).of([card.taps[-1].name])
    C = result.chosen.details["C"]
    head = refit(codes, at.y[at.rows], n_classes=len(images.classes), loss="softmax", C=C)
    through = CachedAugmentations(images, card.preprocess, "crop", seed)
    right, seconds = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        extraction = dataclasses.replace(
            at.backbone.extraction, activations=(activations_tap(card, cut),), views=CACHED_AUGMENTATIONS
        )
        begin = time.perf_counter()
        activations = (
            dataclasses.replace(at.backbone, store=Store(Path(folder))).with_extraction(extraction).codes(images)
        )
        activation_seconds = time.perf_counter() - begin
        sources: dict[str, Source] = {
            "cached": CachedActivations(activations, layer, seed),
            "through": through,
            "again": through,
        }
        for how, source in sources.items():
            begin = time.perf_counter()
            classifier, groups = classifier_at(card, cut, head, plan, through=how != "cached")
            if how == "again":
                in_float32(classifier.body.network, cut)  # type: ignore[arg-type]
            train(classifier, groups, source, training_data(images, at.y, at.rows, seed=seed), plan, checkpoint=None)
            seconds[how] = round(time.perf_counter() - begin, 1)
            right[how] = at.right(margins(classifier, source, at.test)[1])
    row = {
        "set": name,
        "backbone": BACKBONE,
        "input_px": card.preprocess.input_px,
        "size": size,
        "seed": seed,
        "train": len(at.rows),
        "test": len(at.test),
        "frozen_to": layer,
        "epochs": plan.epochs,
        "percent": {how: round(100 * float(hits.mean()), 2) for how, hits in right.items()},
        "images_that_differ": {how: int((right[how] != right["through"]).sum()) for how in ("cached", "again")},
        "seconds": {"activations": round(activation_seconds, 1), **seconds},
        "precision": training_engine(card).precision,
        "machine": machine.describe(),
    }
    print({key: value for key, value in row.items() if key != "machine"}, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--no-accuracy", action="store_true")
    parser.add_argument("--sets", default="rsscn7")
    parser.add_argument("--sizes", default="20,all")
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    path = machine.results_path("prefix")
    parts = json.loads(path.read_text()) if path.exists() else {"seconds": {}, "accuracy": []}

    def write() -> None:
        path.write_text(json.dumps({**parts, "required": REQUIRED}, indent=1) + "\n")

    for architecture in filter(None, options.networks.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder) / "photos", options.images)
            parts["seconds"][architecture] = seconds_rows(architecture, Path(folder), options.rounds)
        write()
    cells = itertools.product(options.sizes.split(","), map(int, options.seeds.split(",")), options.sets.split(","))
    for size, seed, name in () if options.no_accuracy else cells:
        if any((row["set"], row["size"], row["seed"]) == (name, size, seed) for row in parts["accuracy"]):
            continue
        row = accuracy_row(name, size, seed)
        if row is not None:
            parts["accuracy"].append(row)
            write()


if __name__ == "__main__":
    main()
