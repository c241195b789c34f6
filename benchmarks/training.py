"""How many images a second a whole network trains on, in an older checkout and in this one.

    python benchmarks/training.py OLD [--networks …] [--px 96,224] [--threads 0] [--rounds 3] [--again]

Real JPEG files of 768 x 512, full fine-tuning as the tournament runs it (``tune_fold``), epochs after the first. Each
side is a process of its own with ``PYTHONPATH=CHECKOUT/src``; sides take turns, and the median counts. torch's own
forward pass is timed in the same process, in float32 and, where the processor has it, in bfloat16, and its forward and
backward pass (batch norm fixed), to which a training adds images, augmentation and the optimiser. Files are in the
system's cache, as they are after the extraction that comes before every fine-tuning. A cell that is in the file is
measured again only with ``--again``.

Writes results/training.KIND.json.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from datasets import SHARED
from machine import describe, results_path
from processes import answer_of

NETWORKS = ("efficientnet_lite0", "mobilenetv2_100", "mobilenetv3_large_100", "resnet18", "resnet50")
IMAGES, CLASSES = 256, 4
EPOCHS = 3
WIDTH, HEIGHT, QUALITY = 768, 512, 92
RUNNER = """
import json, sys, tempfile, time
from pathlib import Path
import numpy as np
import graftwork
folder, name, checkout = sys.argv[1], sys.argv[2], sys.argv[6]
px, epochs, threads = map(int, sys.argv[3:6])
assert graftwork.__file__.startswith(checkout), graftwork.__file__
import torch
if threads:
    torch.set_num_threads(threads)
from graftwork.core.options import ExtractionOptions
from graftwork.core.plans import Recipe
from graftwork.core.trials import Task
# where the oldest checkout that is compared has both
from graftwork.finetune.fold import FineTuneContext, tune_fold
from graftwork.images.read import read_images
from graftwork.listener import Listener
from graftwork.steps.backbones import open_backbone

class Epochs(Listener):
    ends = []
    def progress(self, done, total):
        if total == epochs:
            self.ends.append(time.perf_counter())

images = read_images(folder)
backbone = open_backbone(name, ExtractionOptions(input_px=px), images)
task = Task(images.labels, np.arange(len(images)), np.zeros(len(images), int), images.classes)
with tempfile.TemporaryDirectory() as work:
    context = FineTuneContext(images, lambda *_: None, Path(work), 1e5, 0, 1, Epochs())
    tune_fold(
        Recipe(None, epochs), 0.01, backbone.codes(images), task, np.zeros(0, int), alphas=(1.0,), context=context,
        checkpoint=Path(work) / "checkpoint",
    )
ends = Epochs.ends
assert len(ends) == epochs, ends
seconds = np.diff(ends)
forward = {}
from graftwork.backbones.load import load
network = load(backbone.card).to(memory_format=torch.channels_last)
inputs = torch.randn(32, 3, px, px).to(memory_format=torch.channels_last)
for dtype in (torch.float32, torch.bfloat16):
    if dtype == torch.bfloat16 and not torch.cpu._is_avx512_bf16_supported():
        continue
    taken = []
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for _ in range(6):
            start = time.perf_counter()
            network(inputs)
            taken.append(time.perf_counter() - start)
    forward[str(dtype)[6:]] = 32 / float(np.median(taken[1:]))
step = {}
network.train()
for norm in network.modules():
    if isinstance(norm, torch.nn.BatchNorm2d):
        norm.eval()
for name in forward:
    dtype = getattr(torch, name)
    taken = []
    for _ in range(6):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            output = network(inputs)
        output.float().sum().backward()
        network.zero_grad(set_to_none=True)
        taken.append(time.perf_counter() - start)
    step[name] = 32 / float(np.median(taken[1:]))
print(json.dumps({"rate": len(images) / float(np.median(seconds)), "forward": forward, "step": step}))
"""


def write_photos(folder: Path) -> None:
    """Write JPEG files of 768 x 512 in classes, made from smaller photos: enlarged, with the grain of a camera."""
    import pyarrow.parquet as parquet
    from PIL import Image

    table = parquet.read_table(SHARED / "imagenet-photos" / "photos.parquet", columns=["image"])
    grain = np.random.default_rng(0)
    for number, data in enumerate(table.column("image").to_pylist()[:IMAGES]):
        photo = Image.open(io.BytesIO(data)).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        noisy = np.asarray(photo, np.float32) + grain.normal(0, 4, (HEIGHT, WIDTH, 1))
        path = folder / f"class-{number % CLASSES}" / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=QUALITY)


def weights_of(network: str, folder: Path) -> str:
    """Return the embedded network, a file of real weights where there is one, or random ones, which train as fast."""
    path = SHARED / "weights" / f"{network}.tv_in1k.safetensors"
    if path.exists() or network == NETWORKS[0]:
        return str(path) if path.exists() else network
    from graftwork.testing import write_tiny_backbone

    return str(write_tiny_backbone(folder, architecture=network))


def measure(checkout: Path, photos: Path, cache: Path, name: str, px: int, threads: int) -> dict[str, Any]:
    """Images per second of one process: ``rate`` of training, ``forward`` and ``step`` of torch by precision."""
    places = {"GRAFTWORK_CACHE": str(cache), "GRAFTWORK_HOME": str(cache / "home")}
    words = [sys.executable, "-c", RUNNER, str(photos), name, str(px), str(EPOCHS), str(threads), str(checkout)]
    result: dict[str, Any] = answer_of(words, PYTHONPATH=str(checkout / "src"), HF_HUB_OFFLINE="1", **places)
    return result


def cell(checkouts: dict[str, Path], folder: Path, name: str, px: int, threads: int, rounds: int) -> dict[str, object]:
    """Measure both checkouts in turn."""
    taken: dict[str, list[dict[str, Any]]] = {side: [] for side in checkouts}
    for _ in range(rounds):
        for side, checkout in checkouts.items():
            taken[side].append(measure(checkout, folder / "photos", folder / f"cache-{side}", name, px, threads))
    rates = {side: [round(each["rate"], 1) for each in runs] for side, runs in taken.items()}
    old, new = (statistics.median(rates[side]) for side in ("old", "new"))
    runs = [*taken["old"], *taken["new"]]
    forward, step = (
        {kind: round(statistics.median(run[what][kind] for run in runs), 1) for kind in runs[0][what]}
        for what in ("forward", "step")
    )
    return {
        "old": old, "new": new, "ratio": round(new / old, 2), "rounds": rates, "forward": forward, "step": step,
        "share_of_a_third_of_forward": round(3 * new / max(forward.values()), 2), "machine": describe(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--px", default="96,224")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    checkouts = {"old": options.old.resolve(), "new": Path(__file__).resolve().parents[1]}
    path = results_path("training")
    cells = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_photos(folder / "photos")
        for px, network in itertools.product(map(int, options.px.split(",")), options.networks.split(",")):
            key = f"{network}, {px} px, {options.threads or os.cpu_count()} threads"
            if key in cells and not options.again:
                continue
            name = weights_of(network, folder / "weights")
            cells[key] = cell(checkouts, folder, name, px, options.threads, options.rounds)
            print(key, {name: value for name, value in cells[key].items() if name != "machine"}, flush=True)
            path.write_text(json.dumps(cells, indent=1) + "\n")


if __name__ == "__main__":
    main()
