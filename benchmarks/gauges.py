"""Do other networks, each with its own classifier and the profile of its own source, see similarity as the gauge does?

    python benchmarks/gauges.py

Mean entropy of each network's own classifier on at most 256 images a set, relative to that on photos of its source, beside
the same of the embedded default at 96 px. Writes ``results/gauges.json``: per network the rank correlation with the gauge,
and how far it is off (mean absolute difference of the logarithms, base 2: 1 is a factor of two).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from datasets import SHARED, path_of
from machine import describe
from scipy.stats import spearmanr

from graftwork.advice.similarity import SourceClassifier, profile_of, similarity_of
from graftwork.core.options import ExtractionOptions
from graftwork.images.read import read_images
from graftwork.steps.backbones import open_backbone

RESULTS = Path(__file__).parent / "results" / "gauges.json"
SETS = (
    "cells", "cifar10", "digits", "dogcat", "gtsrb", "hymenoptera", "neu-steel", "pacs-sketch", "rsscn7",
    "tiny-imagenet", "trashnet", "xray",
)  # fmt: skip
NETWORKS = {
    "efficientnet_lite0": 96, "efficientnet_lite1": 96, "efficientnet_lite2": 96, "mobilenetv2_100.tv_in1k": 96,
    "deit_tiny_patch16_224.fb_in1k": 224,
}  # fmt: skip
"""Input in pixels. Those that are here with their classifiers."""
MOST = 256


def classifier_of(tensors: dict[str, np.ndarray], channels: int) -> SourceClassifier:
    last = [name for name, value in tensors.items() if name.endswith("weight") and value.shape[1:] == (channels,)][-1]
    return SourceClassifier(tensors[last], tensors[last.removesuffix("weight") + "bias"])


def main() -> None:
    photos = read_images(SHARED / "imagenet-photos" / "photos.parquet")
    images = {name: read_images(path_of(name)) for name in SETS}
    some = {n: s.take(np.sort(np.random.default_rng(0).permutation(len(s))[:MOST])) for n, s in images.items()}
    entropy: dict[str, dict[str, float]] = {}
    for network, px in NETWORKS.items():
        path = SHARED / "weights" / f"{network}.safetensors"
        backbone = open_backbone(str(path) if path.exists() else network, ExtractionOptions(input_px=px), photos)
        classifier = classifier_of(dict(backbone.body()), backbone.card.taps[-1].channels)

        def codes(images):
            values = backbone.codes(images)  # noqa: B023
            return {tap.name: values.of([tap.name]) for tap in backbone.card.taps}  # noqa: B023

        profile = profile_of(
            codes(photos), classifier, network=network, weights_sha256="", input_px=px, source="photos"
        )
        entropy[network] = {"photos": profile.entropy}
        for name, each in some.items():
            entropy[network][name] = similarity_of(codes(each), each.labels, classifier, profile, gauge=network).entropy
        print(network, {name: round(value, 2) for name, value in entropy[network].items()}, flush=True)
    gauge, *others = NETWORKS
    relative = {n: np.log2([values[s] / values["photos"] for s in SETS]) for n, values in entropy.items()}
    beside = {
        n: {
            "rank_correlation": round(float(spearmanr(relative[n], relative[gauge]).statistic), 2),
            "off_log2": round(float(np.abs(relative[n] - relative[gauge]).mean()), 2),
        }
        for n in others
    }
    print(beside)
    RESULTS.write_text(json.dumps({"entropy": entropy, "beside_the_gauge": beside, "machine": describe()}, indent=1))


if __name__ == "__main__":
    main()
