"""Forward pass on this processor, images per second, compared with eager float32 PyTorch; the effect of a ReLU on codes.

    python benchmarks/forward.py [--rounds 7] [--networks resnet18,resnet50,mobilenetv3_large_100] [--no-relu]

timm's networks at 224 px with seeded random weights, batch norm measured on photos of ``../shared`` so that codes
differ between images. In turns, in one process tree: eager (batches of 32 normalised tensors, normalisation not
counted) and each engine on uint8 pixels (normalisation counted, every layer extracted). Medians of the rounds; the ratio
is the median of the rounds' own ratios. For an upper bound, the rate of a large matrix product (oneDNN through torch) is
measured, too. ``chosen`` is the engine that ``choose_engine`` takes, whose codes must be within 2 % of float32. Writes ``benchmarks/results/forward.KIND.json``, KIND being the
processor's.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pyarrow.parquet
import torch
from datasets import SHARED, path_of
from torch.utils.flop_counter import FlopCounterMode

from graftwork.backbones.batches import gathered
from graftwork.backbones.cards import with_pooling
from graftwork.backbones.catalogue import find_card
from graftwork.backbones.engines import candidates, choose_engine, open_engine, worst_error
from graftwork.backbones.load import load
from graftwork.backbones.openvino_engine import has_bf16
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.core.facts import BackboneCard, Preprocess
from graftwork.images.pixels import normalise, pixels

TARGETS = {"resnet18": (3.5, 1.8), "resnet50": (6.0, 1.9), "mobilenetv3_large_100": (7.0, 4.4)}
"""Speed relative to eager float32: with bf16 in the processor, and on AVX2 alone."""
BATCH = 32


@functools.cache
def photos(preprocess: Preprocess, count: int) -> np.ndarray:
    table = pyarrow.parquet.read_table(SHARED / "imagenet-photos" / "photos.parquet", columns=["image"])
    data = table.column("image").to_pylist()
    return np.stack([pixels(image, preprocess) for image in data[:: len(data) // count][:count]])


def random_card(architecture: str, folder: Path) -> BackboneCard:
    """Write seeded random weights to a file, with batch norm statistics measured on photos; return its card."""
    make_torchvision_importable()
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model(architecture, pretrained=False).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    preprocess = Preprocess()
    with torch.no_grad():
        network(torch.from_numpy(normalise(photos(preprocess, 50), preprocess)))
    path = folder / f"{architecture}.safetensors"
    save_file(network.state_dict(), path)
    return find_card(str(path))


def gflop_per_second(dtype: torch.dtype, size: int = 4096, rounds: int = 7) -> float:
    """Return the best rate of several large matrix products."""
    left, right = torch.randn(2, size, size).to(dtype)
    seconds = []
    with torch.inference_mode():
        for _ in range(rounds):
            begin = time.perf_counter()
            left @ right
            seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / min(seconds) / 1e9


def forward_macs(run: Callable[[], Any]) -> int:
    """Return the number of multiply-accumulates of a forward pass."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        run()
    return counter.get_total_flops() // 2


def forward(architecture: str, folder: Path, rounds: int) -> dict[str, Any]:
    card = random_card(architecture, folder)
    images = photos(card.preprocess, 200)[-128:]
    network = load(card)
    tensors = torch.from_numpy(normalise(images[:BATCH], card.preprocess))

    def eager() -> int:
        with torch.inference_mode():
            return len(network(tensors))

    engines = {name: open_engine(card, name) for name in candidates()}
    runs: dict[str, Callable[[], int]] = {"eager f32": eager}
    for name, engine in engines.items():
        runs[name] = functools.partial(lambda e: sum(len(next(iter(b.values()))) for b in e.stream([images])), engine)
    for run in runs.values():
        run()
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            rates[name].append(run() / (time.perf_counter() - begin))
    reference = gathered(open_engine(card, "torch cpu f32").stream([images]))
    errors = {name: worst_error(gathered(engine.stream([images])), reference) for name, engine in engines.items()}
    chosen = choose_engine(card, functools.partial(photos, card.preprocess)).name
    ratios = {
        name: statistics.median(r / e for r, e in zip(rates[name], rates["eager f32"], strict=True)) for name in engines
    }
    return {
        "network": architecture,
        "gflop_per_image": round(2 * forward_macs(lambda: network(tensors[:1])) / 1e9, 2),
        "images_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "rounds": {name: [round(value, 1) for value in values] for name, values in rates.items()},
        "times_eager": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "worst_error": {name: round(error, 5) for name, error in errors.items()},
        "chosen": chosen,
        "times_eager_of_the_chosen": round(ratios[chosen], 2),
        "target_with_bf16": TARGETS.get(architecture, (None, None))[0],
        "target_on_avx2_alone": TARGETS.get(architecture, (None, None))[1],
        "load_average": [round(value, 1) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def relu(name: str = "squeezenet1_1.mxnet_in1k", data: str = "trashnet") -> list[dict[str, Any]]:
    """Return the 5-fold accuracy of logistic regression on codes after the network's ReLU, and on those before it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from graftwork.images.read import read_images

    card = find_card(str(SHARED / "weights" / f"{name}.safetensors"))
    images = read_images(path_of(data))
    stack = np.stack([pixels(images.read(i), card.preprocess, None, images.names[i]) for i in range(len(images))])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    rows = []
    for how in ("after", "before"):
        with_relu = with_pooling(card, relu=how)
        for layer, codes in gathered(open_engine(with_relu, candidates()[0]).stream([stack])).items():
            best = max(
                cross_val_score(
                    make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=300)),
                    codes,
                    images.labels,
                    cv=folds,
                ).mean()
                for c in (1e-3, 1e-2, 1e-1)
            )
            row = {"data": data, "network": name, "layer": layer, "relu": how, "accuracy": round(100 * float(best), 2)}
            rows.append({**row, "smallest_code": round(float(codes.min()), 4)})
            print(row, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", default=",".join(TARGETS))
    parser.add_argument("--no-relu", action="store_true")
    options = parser.parse_args()
    path = machine.results_path("forward")
    previous = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        rows = [forward(name, Path(folder), options.rounds) for name in options.networks.split(",")]
    precisions = {"f32": torch.float32, "bf16": torch.bfloat16} if has_bf16() else {"f32": torch.float32}
    product = {name: round(gflop_per_second(dtype)) for name, dtype in precisions.items()}
    print(product, flush=True)
    for row in rows:
        print({key: value for key, value in row.items() if key != "rounds"}, flush=True)
    effect = previous.get("relu", []) if options.no_relu else relu()
    path.write_text(
        json.dumps(
            {
                "machine": machine.describe(),
                "matrix_product_gflop_per_second": product,
                "forward": rows,
                "relu": effect,
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
