"""From JPEG files to codes: compared with a PyTorch loop, compared with its own parts, and run a second time.

    python benchmarks/extraction.py [--rounds 5] [--images 240] [--networks …] [--again 2000]

Photos of ``../shared``, written as JPEG files of 768 x 512 (quality 90), through timm's networks at 224 px with seeded
random weights. In turns, in one process tree:

- ``peers``: torch's DataLoader with 2 workers, Pillow, timm's own transform, eager float32, batches of 32, workers
  started within the clock of each round (they are in use) but after a first round that is not counted;
- ``ours``: ``codes.extract`` into an empty store, every layer of the card, written to disk, checksums included;
- ``decode``: our pixels alone, two threads; ``forward``: the engine alone on decoded pixels.

The best rates of the rounds give 1 / (1/decode + 1/forward), the rate that two cores can reach that do both.
Then ``graft extract`` on ``--again`` files with ResNet-50, twice, as whole commands in new processes.
Writes ``benchmarks/results/extraction.KIND.json``, KIND being the processor's.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pyarrow.parquet
import torch
from datasets import SHARED
from forward import random_card
from PIL import Image

from graftwork.backbones.engines import choose_engine, open_engine
from graftwork.backbones.load import load
from graftwork.codes.extract import extract
from graftwork.codes.settings import ExtractionSettings
from graftwork.codes.store import Store
from graftwork.core.facts import BackboneCard
from graftwork.images.imageset import hash_images
from graftwork.images.pixels import pixels
from graftwork.images.read import read_images

TARGETS = {"resnet18": (2.7, 1.7), "resnet50": (5.0, 1.8), "mobilenetv3_large_100": (4.0, 3.3)}
"""Speed relative to the peers' loop: with bf16 in the processor, and on AVX2 alone."""
BATCH = 32


def write_photos(folder: Path, count: int) -> None:
    """Write ``count`` different photos of 768 x 512 into two class folders."""
    table = pyarrow.parquet.read_table(SHARED / "imagenet-photos" / "photos.parquet", columns=["image"])
    data = table.column("image").to_pylist()
    for number in range(count):
        image = (
            Image.open(io.BytesIO(data[number % len(data)])).convert("RGB").resize((768, 512), Image.Resampling.LANCZOS)
        )
        if number >= len(data):
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(3 * (number // len(data)))
        path = folder / ("one", "other")[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=90)


class Files(torch.utils.data.Dataset):
    """Images from files, as tutorials of PyTorch write it."""

    def __init__(self, paths: Sequence[Path], transform: Callable[[Any], torch.Tensor]) -> None:
        self.paths, self.transform = list(paths), transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def peers_loop(card: BackboneCard, paths: Sequence[Path]) -> Callable[[], int]:
    import timm.data

    network = load(card)
    transform = timm.data.create_transform(input_size=(3, 224, 224), interpolation="bicubic", crop_pct=0.875)

    def run() -> int:
        loader = torch.utils.data.DataLoader(Files(paths, transform), batch_size=BATCH, num_workers=2)
        with torch.inference_mode():
            return sum(len(network.forward_head(network.forward_features(batch), pre_logits=True)) for batch in loader)

    return run


def network_row(architecture: str, folder: Path, images_folder: Path, rounds: int) -> dict[str, Any]:
    card = random_card(architecture, folder)
    images = read_images(images_folder)
    hash_images(images)
    paths = sorted(images_folder.rglob("*.jpg"))
    sample = np.stack([pixels(images.read(i), card.preprocess) for i in range(min(128, len(images)))])
    choice = choose_engine(card, lambda n: sample[:n])
    engine = open_engine(card, choice.name)
    extraction = ExtractionSettings(card, choice.name)

    def ours() -> int:
        with tempfile.TemporaryDirectory() as store:
            return len(extract(images, extraction, lambda: engine, Store(Path(store))).digests)

    def decode() -> int:
        with ThreadPoolExecutor(2) as pool:
            return sum(1 for _ in pool.map(lambda i: pixels(images.read(i), card.preprocess), range(len(images))))

    def forward() -> int:
        return sum(len(next(iter(codes.values()))) for codes in engine.stream([sample]))

    runs = {"peers": peers_loop(card, paths), "ours": ours, "decode": decode, "forward": forward}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            rates[name].append(run() / (time.perf_counter() - begin))
    ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates["peers"], strict=True))
    ideal = 1 / (1 / max(rates["decode"]) + 1 / max(rates["forward"]))
    row = {
        "network": architecture,
        "engine": choice.name,
        "images_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "rounds": {name: [round(value, 1) for value in values] for name, values in rates.items()},
        "times_peers": round(ratio, 2),
        "share_of_ideal": round(statistics.median(rates["ours"]) / ideal, 3),
        "best_share_of_ideal": round(max(rates["ours"]) / ideal, 3),
        "ideal_images_per_second": round(ideal, 1),
        "target_with_bf16": TARGETS.get(architecture, (None, None))[0],
        "target_on_avx2_alone": TARGETS.get(architecture, (None, None))[1],
        "load_average": round(os.getloadavg()[0], 1),
    }
    print({key: value for key, value in row.items() if key != "rounds"}, flush=True)
    return row


def again(folder: Path, count: int) -> dict[str, Any]:
    """Time the whole command, the first time and later ones."""
    card = random_card("resnet50", folder)
    data = folder / "again"
    write_photos(data, count)
    environment = {**os.environ, "GRAFTWORK_CACHE": str(folder / "cache")}

    def command(number: int) -> float:
        words = ["extract", str(data), "--backbone", card.weights, "-o", str(folder / f"codes{number}.npz")]
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "graftwork.cli", *words], check=True, capture_output=True, env=environment
        )
        return time.perf_counter() - begin

    seconds = [command(number) for number in range(4)]
    codes = codes_seconds(card, data, folder / "cache")
    row = {
        "images": count,
        "command_first_seconds": round(seconds[0], 1),
        "command_second_seconds": round(statistics.median(seconds[1:]), 2),
        "command_ratio": round(seconds[0] / statistics.median(seconds[1:]), 1),
        **codes,
    }
    print(row, flush=True)
    return row


def codes_seconds(card: BackboneCard, data: Path, cache: Path) -> dict[str, float]:
    """Time the codes alone, of images that are listed and hashed: computed, and from the store."""
    images = read_images(data)
    hash_images(images)
    sample = np.stack([pixels(images.read(i), card.preprocess) for i in range(128)])
    extraction = ExtractionSettings(card, choose_engine(card, lambda n: sample[:n]).name)
    store = Store(cache / "fresh")
    layers = [tap.name for tap in card.taps]

    def obtain() -> float:
        begin = time.perf_counter()
        extract(images, extraction, functools.partial(open_engine, card, extraction.engine), store).of(layers)
        return time.perf_counter() - begin

    first, later = obtain(), [obtain() for _ in range(5)]
    return {
        "codes_first_seconds": round(first, 1),
        "codes_second_seconds": round(statistics.median(later), 3),
        "codes_ratio": round(first / statistics.median(later), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--networks", default=",".join(TARGETS))
    parser.add_argument("--again", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_photos(folder / "photos", options.images)
        rows = [network_row(name, folder, folder / "photos", options.rounds) for name in options.networks.split(",")]
        second = again(folder, options.again)
    path = machine.results_path("extraction")
    path.write_text(json.dumps({"machine": machine.describe(), "networks": rows, "again": second}, indent=1) + "\n")


if __name__ == "__main__":
    main()
