"""Does the map of ``graft explain`` cover what the classes differ in, does it change with the weights, what does it cost?

    python benchmarks/explain.py

Small pictures of things are pasted at random places on photos that have nothing to do with them, and linear classifiers
learn which thing it is. The method was chosen on the first two of four such sets; the figures to quote are those of
the other two, with other things and other photos. Writes results/explain.json. Needs captum, for the other methods.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from captum.attr import IntegratedGradients, LayerGradCam, LayerGradientXActivation, Occlusion
from datasets import SHARED, path_of
from machine import describe
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata, spearmanr

import graftwork
from graftwork.backbones.taps import find_points
from graftwork.core.facts import BackboneCard
from graftwork.core.fitted import Fitted
from graftwork.images.pixels import Placement, laid_back, placement, prepared
from graftwork.listener import SILENT
from graftwork.model.folder import read_model
from graftwork.model.load import body_card
from graftwork.ship.attribution import Attribution, over_the_others

RESULTS = Path(__file__).parent / "results" / "explain.json"
WORK = Path(tempfile.gettempdir()) / "graftwork-explain"
PER_CLASS = 120
BACKGROUND_PX, HIDDEN_PX = 256, 18
SIDES = (0.22, 0.38)
"""Side of the thing as a share of the photo's shorter side."""
IMAGES, SLOW_IMAGES = 20, 5
NETWORKS = {
    "efficientnet_lite0, last layer": ("efficientnet_lite0", "last"),
    "efficientnet_lite0, all layers": ("efficientnet_lite0", "all"),
    "mobilenetv3_small_075, last layer": (
        SHARED / "weights/tf_mobilenetv3_small_075.mediapipe_in1k.safetensors",
        "last",
    ),
    "squeezenet1_1, all layers": (SHARED / "weights/squeezenet1_1.mxnet_in1k.safetensors", "all"),
    "deit_tiny, last layer": (SHARED / "weights/deit_tiny_patch16_224.fb_in1k.safetensors", "last"),
}
SLOW = ("efficientnet_lite0, all layers", "deit_tiny, last layer")
STEPS = 16
Box = tuple[int, int, int, int]


def files_of(folder: Path, n: int, skip: int = 0) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())[skip : skip + n]]


def rows_of(table: str, n: int, label: str | None = None) -> list[bytes]:
    columns = pq.read_table(SHARED / "datasets" / f"{table}.parquet").to_pydict()
    images = [image for image, own in zip(columns["image"], columns["label"], strict=True) if label in (None, own)]
    order = np.random.default_rng(9).permutation(len(images))
    return [images[i] for i in order[:n]]


def things() -> dict[str, tuple[dict[str, list[bytes]], list[bytes]]]:
    """Per set: pictures by class, and backgrounds."""
    photos = pq.read_table(SHARED / "imagenet-photos" / "photos.parquet").column("image").to_pylist()
    order = np.random.default_rng(0).permutation(len(photos))
    aerial = [path.read_bytes() for path in sorted(path_of("rsscn7").rglob("*.jpg"))]
    pets, waste, sketches, cells = (path_of(name) for name in ("dogcat", "trashnet", "pacs-sketch", "cells"))
    insects, xray = path_of("hymenoptera") / "train", path_of("xray") / "images"
    n = PER_CLASS
    return {
        "dog, sign, white blood cell, bee on photos": (
            {
                "dog": files_of(pets / "dog", n),
                "sign": rows_of("gtsrb", n),
                "cell": files_of(cells / "wbc", n),
                "bee": files_of(insects / "bees", n),
            },
            [photos[i] for i in order[:500]],
        ),
        "glass, guitar, ship, cat on aerial photos": (
            {
                "glass": files_of(waste / "glass", n),
                "guitar": files_of(sketches / "guitar", n),
                "ship": rows_of("cifar10", n, "ship"),
                "cat": files_of(pets / "cat", n),
            },
            aerial[::3],
        ),
        "metal, horse, red blood cell, other dogs on photos": (
            {
                "metal": files_of(waste / "metal", n),
                "horse": files_of(sketches / "horse", n),
                "cell": files_of(cells / "rbc", n),
                "dog": files_of(pets / "dog", n, n),
            },
            [photos[i] for i in order[500:]],
        ),
        "ant, car, x-ray, paper on aerial photos": (
            {
                "ant": files_of(insects / "ants", n),
                "car": rows_of("cifar10", n, "automobile"),
                "xray": files_of(xray, n),
                "paper": files_of(waste / "paper", n),
            },
            aerial[1::3],
        ),
    }


def paste(folder: Path, pictures: dict[str, list[bytes]], backgrounds: list[bytes], seed: int) -> dict[str, Box]:
    """Write the images; return the box of the thing in each, by name. All of it is in what the network sees."""
    rng = np.random.default_rng(seed)
    boxes = {}
    for label, images in pictures.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(images):
            photo = Image.open(io.BytesIO(backgrounds[rng.integers(len(backgrounds))])).convert("RGB")
            scale = BACKGROUND_PX / min(photo.size)
            photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BICUBIC)
            side = int(rng.uniform(*SIDES) * BACKGROUND_PX)
            thing = Image.open(io.BytesIO(data)).convert("RGB")
            short = min(thing.size)
            left, top = (thing.width - short) // 2, (thing.height - short) // 2
            thing = thing.crop((left, top, left + short, top + short)).resize((side, side), Image.Resampling.BICUBIC)
            room = BACKGROUND_PX - 2 * HIDDEN_PX - side
            x, y = (int((length - BACKGROUND_PX) // 2 + HIDDEN_PX + rng.integers(room)) for length in photo.size)
            photo.paste(thing, (x, y))
            name = f"{label}/{number:03}.png"
            photo.save(folder / name)
            boxes[name] = (x, y, x + side, y + side)
    return boxes


class Contrast(torch.nn.Module):
    """Normalised planes (n, 3, px, px) to the contrast (n,) of one class: what other libraries explain."""

    def __init__(self, attribution: Attribution, fitted: Fitted, label: int) -> None:
        super().__init__()
        self.codes = attribution.network
        self.weight = torch.from_numpy(over_the_others(label, len(fitted.head.classes)) @ fitted.head.weight)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.codes.codes(planes), 1) @ self.weight


def planes_of(attribution: Attribution, pixels: np.ndarray) -> torch.Tensor:
    network = attribution.network
    planes = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).float()
    return planes * network.get_buffer("scale") + network.get_buffer("shift")


def upsampled(values: torch.Tensor, px: int) -> np.ndarray:
    """(px, px) of a map (h, w), or of tokens (t,) in a square, class token first."""
    if values.ndim == 1:
        values = values[1:].reshape(round((len(values) - 1) ** 0.5), -1)
    grid = values.detach().float()[None, None]
    return torch.nn.functional.interpolate(grid, size=(px, px), mode="bilinear", align_corners=False)[0, 0].numpy()


def maps(
    attribution: Attribution,
    unbiased: Attribution,
    fitted: Fitted,
    pixels: np.ndarray,
    label: int,
    runner_up: int,
    slow: bool,
) -> Iterator[tuple[str, np.ndarray]]:
    """Maps (px, px) of one input by every method."""
    px, k = len(pixels), len(fitted.head.classes)
    others = over_the_others(label, k)
    yield "parts by layer", attribution.evidence(pixels, others)
    yield "parts by layer, without the biases", unbiased.evidence(pixels, others)
    one = np.eye(k, dtype=np.float32)
    yield "parts by layer, of the value alone", attribution.evidence(pixels, one[label])
    yield "parts by layer, over the runner-up", attribution.evidence(pixels, one[label] - one[runner_up])
    network = Contrast(attribution, fitted, label)
    planes = planes_of(attribution, pixels)
    for module, depth, is_planes in inner_modules(attribution):
        products = LayerGradientXActivation(network, module).attribute(planes)
        channels = 0 if is_planes else -1
        yield f"gradient x activation, depth {depth}", upsampled(products[0].sum(channels), px)
        yield (
            f"positive gradient x activation, depth {depth}",
            upsampled(products[0].clamp(min=0).sum(channels), px),
        )
        if is_planes:
            yield f"Grad-CAM, depth {depth}", upsampled(LayerGradCam(network, module).attribute(planes)[0, 0], px)
    if slow:
        gradients = IntegratedGradients(network).attribute(planes, n_steps=STEPS, internal_batch_size=4)
        yield "integrated gradients", gaussian_filter(gradients[0].abs().sum(0).numpy(), px / 28)
        windows = {"sliding_window_shapes": (3, px // 7, px // 7), "strides": (3, px // 14, px // 14)}
        occluded = Occlusion(network).attribute(planes, perturbations_per_eval=8, **windows)
        yield "occlusion", occluded[0].sum(0).numpy()


def inner_modules(attribution: Attribution) -> list[tuple[torch.nn.Module, str, bool]]:
    """Modules at some depths of the network, from the layers that graftwork knows."""
    body = attribution.network.network
    points = [point for point in find_points(body, 224) if point.sources[0].layout in ("planes", "tokens")]
    chosen = [points[i] for i in sorted({round(share * (len(points) - 1)) for share in (0.4, 0.7, 1.0)})]
    return [
        (body.get_submodule(point.sources[0].module), f"{point.tap.depth:.2f}", point.sources[0].layout == "planes")
        for point in chosen
        if point.sources[0].side == "output"
    ]


def covered(values: np.ndarray, place: Placement, size: tuple[int, int], box: Box) -> tuple[float, float, float, float]:
    """Share of the positive map in the box, whether its maximum is, area under the ROC curve; and the box's area."""
    laid = laid_back(np.ascontiguousarray(values, np.float32), place, size)
    visible = ~np.isnan(laid)
    inside = np.zeros_like(visible)
    inside[box[1] : box[3], box[0] : box[2]] = True
    inside, seen = inside[visible], laid[visible]
    positive = np.maximum(seen, 0)
    mass = float(positive[inside].sum() / positive.sum()) if positive.sum() > 0 else float(inside.mean())
    ranks, hits = rankdata(seen), int(inside.sum())
    area = (ranks[inside].sum() - hits * (hits + 1) / 2) / (hits * (len(seen) - hits))
    return mass, float(inside[seen.argmax()]), float(area), float(inside.mean())


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one thread, the least of five: what else runs here only ever adds."""
    times = []
    for _ in range(5):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def changed(
    attribution: Attribution, card: BackboneCard, fitted: Fitted, inputs: list[tuple[np.ndarray, int]]
) -> dict[str, float]:
    """Mean rank correlation of maps with those of a random head, and of a random body, which is left so."""
    k = len(fitted.head.classes)
    before = [attribution.evidence(pixels, over_the_others(label, k)) for pixels, label in inputs]
    generator = np.random.default_rng(0)
    head = fitted.head
    random = generator.normal(size=head.weight.shape).astype(np.float32) * head.weight.std()
    shuffled = Attribution(card, dataclasses.replace(head, weight=random))
    by_head = [shuffled.evidence(pixels, over_the_others(label, k)) for pixels, label in inputs]
    torch.manual_seed(0)
    for module in attribution.network.network.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    by_body = [attribution.evidence(pixels, over_the_others(label, k)) for pixels, label in inputs]

    def correlation(after: list[np.ndarray]) -> float:
        return float(np.nanmean([spearmanr(a, b, axis=None).statistic for a, b in zip(before, after, strict=True)]))

    return {"random_head": round(correlation(by_head), 3), "random_body": round(correlation(by_body), 3)}


def judge(folder: Path, boxes: dict[str, Box], name: str) -> dict[str, object]:
    backbone, layer = NETWORKS[name]
    run = graftwork.train(
        folder, output=WORK / "runs" / f"{folder.name}-{name}", strategy="linear", backbone=backbone, layer=layer,
        test=0.3, listener=SILENT,
    )  # fmt: skip
    contents = read_model(Path(run.folder) / "model")
    fitted = contents.fitted
    card = dataclasses.replace(body_card(Path(run.folder) / "model", contents), taps=fitted.taps)
    attribution = Attribution(card, fitted.head)
    unbiased = Attribution(card, dataclasses.replace(fitted.head, bias=np.zeros_like(fitted.head.bias)))
    rows = run.test.probabilities
    right = np.random.default_rng(0).permutation(np.flatnonzero(rows.argmax(1) == run.test.y))[:IMAGES]
    scores: dict[str, list[tuple[float, float, float, float]]] = {}
    inputs = []
    for number, i in enumerate(right):
        image = run.images.names[run.test.rows[i]]
        picture = Image.open(folder / image).convert("RGB")
        place = placement(*picture.size, card.preprocess)
        pixels = prepared(picture, card.preprocess)
        label, runner_up = (int(c) for c in np.argsort(-rows[i], kind="stable")[:2])
        inputs.append((pixels, label))
        slow = name in SLOW and number < SLOW_IMAGES
        for method, values in maps(attribution, unbiased, fitted, pixels, label, runner_up, slow):
            scores.setdefault(method, []).append(covered(values, place, picture.size, boxes[image]))
    pixels = inputs[0][0]
    batch = torch.from_numpy(pixels)[None]

    def forward() -> None:
        with torch.no_grad():
            attribution.network(batch)

    contrast = over_the_others(inputs[0][1], len(fitted.head.classes))
    cost = {"forward": seconds(forward), "explained": seconds(lambda: attribution.evidence(pixels, contrast))}
    result = {
        "exact": attribution.exact,
        "test_accuracy": round(run.test.score.value, 3),
        "images": len(right),
        "area_of_the_box": round(float(np.mean([row[3] for row in scores["parts by layer"]])), 3),
        "methods": {
            method: {"mass": round(m[0], 3), "pointing": round(m[1], 3), "auc": round(m[2], 3), "images": len(row)}
            for method, row in scores.items()
            for m in [np.mean(row, axis=0)]
        },
        "seconds": {what: round(value, 4) for what, value in cost.items()},
        "rank_correlation": changed(attribution, card, fitted, inputs[:10]),
    }
    print(
        folder.name,
        name,
        result["methods"]["parts by layer"],
        result["rank_correlation"],
        result["seconds"],
        flush=True,
    )
    return result


def main() -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GRAFTWORK_CACHE", str(WORK / "cache"))
    os.environ["GRAFTWORK_HOME"] = str(WORK / "home")
    results = json.loads(RESULTS.read_text())["sets"] if RESULTS.exists() and "--again" not in sys.argv else {}
    for number, (words, (pictures, backgrounds)) in enumerate(things().items()):
        folder = WORK / f"set{number}"
        boxes = paste(folder, pictures, backgrounds, seed=number)
        done = results.setdefault(words, {"used": "to choose" if number < 2 else "to judge", "networks": {}})[
            "networks"
        ]
        for name in NETWORKS:
            if name not in done:
                done[name] = judge(folder, boxes, name)
                RESULTS.write_text(json.dumps({"sets": results, "machine": describe()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
