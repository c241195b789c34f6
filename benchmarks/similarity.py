"""Similarity of data sets to the source, measured with the gauge, and what blur, enlargement and grey do to it.

    python benchmarks/similarity.py [--profile FILE]

The gauge is the embedded default at 96 px, on at most 512 images a set. Writes ``results/similarity.json``; with
``--profile`` also the profile of the source (the 1,000 photos) that the package brings. Transport is measured by POT (the
extra ``bench``) and not in the package: it has to predict better than the entropy first.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import ot
from datasets import SHARED, path_of
from machine import describe
from PIL import Image, ImageFilter

from graftwork.advice.similarity import SourceClassifier, profile_of, similarity_of
from graftwork.advice.sources import save_profile
from graftwork.backbones.tensors import tensors_of
from graftwork.core.options import ExtractionOptions
from graftwork.images.imageset import ImageSet
from graftwork.images.read import read_images
from graftwork.steps.backbones import Backbone, open_backbone

RESULTS = Path(__file__).parent / "results" / "similarity.json"
GAUGE, GAUGE_PX, MOST = "efficientnet_lite0", 96, 512
SETS = (
    "cells", "cifar10", "digits", "dogcat", "gtsrb", "hymenoptera", "neu-steel", "pacs-sketch", "rsscn7",
    "tiny-imagenet", "trashnet", "xray",
)  # fmt: skip
SOURCE = "the 1,000 photos, one of each class of ImageNet-1k"


def changed(images: ImageSet, kind: str, folder: Path) -> ImageSet:
    """Write the images again, blurred, enlarged from a sixth of their size, or grey."""
    for i in range(len(images)):
        picture = Image.open(io.BytesIO(images.read(i))).convert("RGB")
        if kind == "blurred":
            picture = picture.filter(ImageFilter.GaussianBlur(min(picture.size) / 50))
        elif kind == "enlarged":
            small = picture.resize([max(1, side // 6) for side in picture.size])
            picture = small.resize(picture.size, Image.Resampling.BICUBIC)
        else:
            picture = picture.convert("L")
        path = folder / images.classes[images.labels[i]] / f"{i:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return read_images(folder)


def sample(images: ImageSet) -> ImageSet:
    return images.take(np.sort(np.random.default_rng(0).permutation(len(images))[:MOST]))


def codes_of(backbone: Backbone, images: ImageSet) -> dict[str, np.ndarray]:
    codes = backbone.codes(images)
    return {tap.name: codes.of([tap.name]) for tap in backbone.card.taps}


def transports(codes: np.ndarray, source: np.ndarray) -> dict[str, float]:
    """Cost of moving codes (n, d) to the source's (m, d), by cosine distance: all of it, and where parts may stay.

    Balanced, every code of the source gets the same mass; ``unbalanced`` it may get what it draws (Chizat et al. 2018,
    the source's marginal relaxed), so that a source with a thousand classes is not held against images of ten.
    """
    codes = codes.astype(np.float64)
    distances = 1 - (codes / np.linalg.norm(codes, axis=1, keepdims=True)) @ source.T.astype(np.float64)
    n, m = distances.shape
    here, there = np.full(n, 1 / n), np.full(m, 1 / m)
    plan = ot.unbalanced.sinkhorn_unbalanced(here, there, distances, reg=0.01, reg_m=(1.0, 0.01))
    return {
        "transport": float(ot.emd2(here, there, distances)),
        "unbalanced transport": float((plan * distances).sum() / plan.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    photos = read_images(SHARED / "imagenet-photos" / "photos.parquet")
    backbone = open_backbone(GAUGE, ExtractionOptions(input_px=GAUGE_PX), photos)
    tensors = tensors_of(backbone.card)
    classifier = SourceClassifier(tensors["classifier.weight"], tensors["classifier.bias"])
    profile = profile_of(
        codes_of(backbone, photos), classifier, network=backbone.card.name,
        weights_sha256=backbone.card.weights_sha256 or "", input_px=GAUGE_PX, source=SOURCE,
        digests=[str(digest) for digest in photos.digests],
    )  # fmt: skip
    if options.profile:
        save_profile(profile, options.profile)

    def measured(images: ImageSet) -> dict[str, object]:
        codes = codes_of(backbone, images)
        result = similarity_of(codes, images.labels, classifier, profile, gauge=backbone.card.name)
        return dataclasses.asdict(result) | transports(codes[backbone.card.taps[-1].name], profile.nearest)

    rows = {"photos": measured(sample(photos))}
    for name in SETS:
        rows[name] = measured(sample(read_images(path_of(name))))
        print(name, {key: value for key, value in rows[name].items() if isinstance(value, float)}, flush=True)
    for name in ("hymenoptera", "trashnet"):
        for kind in ("blurred", "enlarged", "grey"):
            with tempfile.TemporaryDirectory() as folder:
                rows[f"{name}, {kind}"] = measured(changed(sample(read_images(path_of(name))), kind, Path(folder)))
            print(name, kind, rows[f"{name}, {kind}"]["entropy"], flush=True)
    RESULTS.write_text(
        json.dumps({"gauge": GAUGE, "input_px": GAUGE_PX, "sets": rows, "machine": describe()}, indent=1)
    )


if __name__ == "__main__":
    main()
