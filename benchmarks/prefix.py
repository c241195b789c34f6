"""Activations below a cut kept and only the tail trained, beside the loop that peers run: seconds per epoch; accuracy.

    python benchmarks/prefix.py [--rounds 5] [--networks resnet18,resnet50] [--no-accuracy]
    python benchmarks/prefix.py --networks "" [--sets …] [--sizes 20,all] [--seeds 0,1,2]     # the accuracy alone

400 JPEG files of 768 x 512, timm's networks at 224 px with seeded random weights, frozen up to the third stage
(``layer3``) and up to all but the last block (``layer4.0`` of ResNet-18, ``layer4.1`` of ResNet-50; a card's layers end
with stages, so this cut is made here by hand). Batches of 32, AdamW. In turns, in one process tree:

- ``peers``: torch's DataLoader with 2 workers that stay, Pillow, timm's random crop and flip, eager float32 in torch's
  usual layout through everything, backward through the tail. Frozen modules take no gradient and are in eval mode,
  which is faster than what most tutorials leave them in;
- ``through``: graftwork's loop, the same cut, passing through the whole network in every epoch;
- ``kept``: graftwork's loop on the activations of 8 cached augmentations, computed before and not counted.

Each round times one epoch of each, after an epoch that is not counted. Ours end with a checkpoint, as in a run; what
writing it takes is told beside. Medians of the rounds; ratios are medians of the rounds' own ratios. Operation counts
(torch's counter, forward, one image) allow through / kept = (whole + 2 tail) / (3 tail).

Accuracy: cells of ``strategies.py`` with the ImageNet MobileNetV2 at 96 px and its recipe, cut where graftwork cuts
first; trained on cached activations (``kept``), and through the network on the very same cached augmentations, decoded again in
every epoch (``through``). Rounding alone sends two trainings apart, so a third one tells how far: ``again`` passes
through the network, too, with float32 below the cut, as the cached activations were computed (it tells nothing where the
loop trains in float32 anyway).
Writes ``benchmarks/results/prefix.KIND.json``, KIND being the processor's; parts that were not run stay as they were,
and a cell of the accuracy that is there is not computed again.
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
from strategies import cell, linear
from torch import nn

from graftwork.backbones.load import load
from graftwork.codes.extract import LayerCodes, ExtractionSettings, extract
from graftwork.codes.store import Store
from graftwork.core.facts import BackboneCard, Tap
from graftwork.core.plans import Recipe, linear_candidates
from graftwork.core.recipes import CACHED_AUGMENTATIONS, cut_layers, recipe
from graftwork.finetune.cut import Cut, Tail, find_cut, last_layer_network, activations_card, watched_calls
from graftwork.finetune.loop import Classifier, Told, margins, train, trains_in_bf16
from graftwork.finetune.learning_rates import parameter_groups, stages
from graftwork.finetune.sources import CachedActivations, Pixels, Source
from graftwork.images.imageset import ImageSet, hash_images
from graftwork.images.pixels import normalise
from graftwork.images.read import read_images
from graftwork.images.views import View, views
from graftwork.linear.cross_validate import refit

NETWORKS = "resnet18,resnet50"
IMAGES = 400
BACKBONE = "mobilenetv2_100"
"""Of the accuracy."""
BATCH = 32
WANTED = {"times_peers": 3.0, "share_of_what_counts_allow": 0.8, "accuracy_points": 0.5}
STEM = ("conv1", "bn1", "act1", "maxpool")


def last_block_cut(network: nn.Module, input_px: int) -> Cut:
    """All of a ResNet but its last block."""
    stages_below = ("layer1", "layer2", "layer3")
    blocks = [f"layer4.{number}" for number in range(len(network.get_submodule("layer4")) - 1)]  # type: ignore[arg-type]
    below = (*STEM, *stages_below, *blocks[:-1])
    calls = watched_calls(network, input_px)
    shapes = {name: calls[name].shape or () for name in (*below, blocks[-1])}
    return Cut(blocks[-1], blocks[-1], shapes[blocks[-1]], below, tuple(shapes[name] for name in below), relu=True)


def freeze(network: nn.Module, cut: Cut) -> None:
    for name in (*cut.below, cut.module):
        network.get_submodule(name).eval().requires_grad_(False)


class Kept:
    """Gives the activations at several cuts from one forward pass, 32 images at a time."""

    name = "eager"

    def __init__(self, card: BackboneCard, cuts: Sequence[Cut]) -> None:
        self._card, self._cuts = card, cuts
        self._network = load(card).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Mapping[str, np.ndarray]]:
        read: dict[str, np.ndarray] = {}
        for cut in self._cuts:
            self._network.get_submodule(cut.module).register_forward_hook(functools.partial(self._keep, cut, read))
        batches = iter(batches)
        while images := list(itertools.islice(batches, BATCH)):
            inputs = torch.from_numpy(normalise(np.concatenate(images), self._card.preprocess))
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=trains_in_bf16()):
                self._network(inputs.contiguous(memory_format=torch.channels_last))
            yield dict(read)

    @staticmethod
    def _keep(cut: Cut, read: dict[str, np.ndarray], module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        read[cut.layer] = output.float().contiguous().flatten(1).numpy().copy()


def kept(card: BackboneCard, cuts: Sequence[Cut], images: ImageSet, folder: Path) -> LayerCodes:
    """The activations of all images in ``CACHED_AUGMENTATIONS`` views."""
    taps = [Tap(cut.layer, 0.5, int(np.prod(cut.shape)), pool="none", relu=True) for cut in cuts]
    extraction = ExtractionSettings(dataclasses.replace(card, taps=tuple(taps)), "eager", views=CACHED_AUGMENTATIONS)
    return extract(images, extraction, lambda: Kept(card, cuts), Store(folder))


def student_at(
    card: BackboneCard, cut: Cut, head: tuple[np.ndarray, np.ndarray], plan: Recipe, *, through: bool
) -> tuple[Classifier, list[dict[str, Any]]]:
    """A student and its optimiser's groups, as ``finetune.tune`` makes them, at any cut."""
    body = last_layer_network(load(card), card)
    stage_of = stages(body, card)
    trained: nn.Module = body
    if through:
        freeze(body.network, cut)
    else:
        trained = Tail(body, cut, card.preprocess.input_px)
    classifier = Classifier(trained, *head).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return classifier, parameter_groups(trained, classifier.head, stage_of, plan)


# --- seconds


class Labelled(torch.utils.data.Dataset):
    """What every tutorial writes."""

    def __init__(self, paths: Sequence[Path], y: np.ndarray, transform: Callable[[Any], torch.Tensor]) -> None:
        self.paths, self.y, self.transform = list(paths), y, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.paths[index]).convert("RGB")), int(self.y[index])


def peers_epoch(card: BackboneCard, cut: Cut, images: ImageSet) -> Callable[[], float]:
    """Seconds of one epoch of the loop that peers run."""
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
    """Seconds of the second epoch of graftwork's loop, and those of the checkpoint in it."""
    plan = Recipe(cut.layer, epochs=2, batch_size=BATCH, cached_augmentations=0 if through else CACHED_AUGMENTATIONS)
    classes, width = len(images.classes), card.taps[-1].channels
    weight = np.random.default_rng(0).normal(0, 0.01, (classes, width)).astype(np.float32)
    classifier, groups = student_at(card, cut, (weight, np.zeros(classes, np.float32)), plan, through=through)
    everything = np.arange(len(images))
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            classifier, groups, source, everything, images.labels, plan, class_weight=None, held_out=everything[:0],
            seed=0, checkpoint=Path(folder) / "checkpoint", told=Told(progress=lambda *_: ends.append(time.perf_counter())),
        )  # fmt: skip
        last_checkpoint = time.perf_counter() - ends[1]
    return ends[1] - ends[0], last_checkpoint


def counts(card: BackboneCard, cut: Cut) -> tuple[int, int]:
    """Multiply-accumulates of one image's forward pass: whole, and above the cut."""
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
    activations = kept(card, cuts, images, folder / "codes")
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
    seconds: dict[str, list[float]] = {"peers": [], "through": [], "kept": []}
    checkpoints = []
    for _ in range(rounds):
        seconds["peers"].append(peers())
        seconds["through"].append(own_epoch(card, cut, images, pixels, through=True)[0])
        one, checkpoint = own_epoch(card, cut, images, ours, through=False)
        seconds["kept"].append(one)
        checkpoints.append(checkpoint)
    whole, tail = counts(card, cut)
    allowed = (whole + 2 * tail) / (3 * tail)
    ratio = {
        name: statistics.median(a / b for a, b in zip(seconds[name], seconds["kept"], strict=True))
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
        "counts_allow": round(allowed, 2),
        "share_of_what_counts_allow": round(ratio["through"] / allowed, 3),
        "precision": "bf16" if trains_in_bf16() else "f32",
        "load_average": round(os.getloadavg()[0], 1),
        "machine": machine.describe(),
    }
    print({key: value for key, value in row.items() if key not in ("rounds", "machine")}, flush=True)
    return row


# --- accuracy


class CachedAugmentations(Pixels):
    """Each image decoded in the view of which ``Maps`` would give the cached activations."""

    def _view(self, epoch: int | None, image: int) -> View | None:
        if epoch is None:
            return None
        fixed = views(CACHED_AUGMENTATIONS, seed=0)
        return fixed[int(np.random.default_rng([self._seed, epoch, image]).integers(len(fixed)))]


def in_float32(network: nn.Module, cut: Cut) -> None:
    """Below a cut, whatever the loop's precision."""

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
    card, images = at.backbone.extraction.card, at.checked.images
    layer = cut_layers(card)[0]
    cut = find_cut(load(card), card, layer)
    plan = recipe(len(at.rows), layer)
    _, found = linear(at, linear_candidates(card, layers=(card.taps[-1].name,), losses=("softmax",)))
    codes = at.backbone.codes(images).take(at.rows).of([card.taps[-1].name])
    C = found.chosen.details["C"]
    head = refit(codes, at.y[at.rows], n_classes=len(images.classes), loss="softmax", C=C)
    through = CachedAugmentations(images, card.preprocess, "crop", seed)
    right, seconds = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        extraction = dataclasses.replace(
            at.backbone.extraction, card=activations_card(card, cut), views=CACHED_AUGMENTATIONS
        )
        begin = time.perf_counter()
        activations = (
            dataclasses.replace(at.backbone, store=Store(Path(folder))).with_extraction(extraction).codes(images)
        )
        activations = time.perf_counter() - begin
        sources: dict[str, Source] = {
            "kept": CachedActivations(activations, layer, seed),
            "through": through,
            "again": through,
        }
        for how, source in sources.items():
            begin = time.perf_counter()
            classifier, groups = student_at(card, cut, head, plan, through=how != "kept")
            if how == "again":
                in_float32(classifier.body.network, cut)  # type: ignore[arg-type]
            train(
                classifier, groups, source, at.rows, at.y, plan, class_weight=None, held_out=at.rows[:0],
                seed=seed, checkpoint=None, told=Told(),
            )  # fmt: skip
            seconds[how] = round(time.perf_counter() - begin, 1)
            right[how] = at.right(margins(classifier, source, at.test))
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
        "images_that_differ": {how: int((right[how] != right["through"]).sum()) for how in ("kept", "again")},
        "seconds": {"activations": round(activations, 1), **seconds},
        "precision": "bf16" if trains_in_bf16() else "f32",
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
    asked = parser.parse_args()
    path = machine.results_path("prefix")
    parts = json.loads(path.read_text()) if path.exists() else {"seconds": {}, "accuracy": []}

    def write() -> None:
        path.write_text(json.dumps({**parts, "wanted": WANTED}, indent=1) + "\n")

    for architecture in filter(None, asked.networks.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder) / "photos", asked.images)
            parts["seconds"][architecture] = seconds_rows(architecture, Path(folder), asked.rounds)
        write()
    cells = itertools.product(asked.sizes.split(","), map(int, asked.seeds.split(",")), asked.sets.split(","))
    for size, seed, name in () if asked.no_accuracy else cells:
        if any((row["set"], row["size"], row["seed"]) == (name, size, seed) for row in parts["accuracy"]):
            continue
        row = accuracy_row(name, size, seed)
        if row is not None:
            parts["accuracy"].append(row)
            write()


if __name__ == "__main__":
    main()
