"""Networks of Caffe against OpenCV's reader at every blob, pooling over a whole grid, and speed beside torchvision's.

    python benchmarks/caffe.py [--rounds 15] [--only networks,grid,speed,train]

``networks``: SqueezeNet with its own weights; AlexNet, CaffeNet and GoogLeNet from their ``deploy.prototxt`` with seeded
random weights (He et al. 2015). Largest error of any blob over its largest value; blobs that are written in place are
compared after their last writer. OpenCV 4 without fusion and Winograd.

``grid``: kernel 1 to 5, stride 1 to 3, pad 0 to 2, input 5 to 64 px, MAX and AVE; LRN of size 1 to 5 both ways. What
Caffe accepts is compared; what it refuses (pad not below the kernel, an even size) and what has an empty window must be
refused by name. For each kernel, stride and pad: the sizes at which torch's own ``ceil_mode`` has other windows, and
whether torch refuses.

``speed``: SqueezeNet from Caffe and torchvision's ``squeezenet1_0`` with the same weights, uint8 pixels to logits, in the
same engine, in turns; medians, and the median of the rounds' own ratios. ``train``: the test accuracy of a linear
classifier on SqueezeNet's codes. Writes ``benchmarks/results/caffe.json``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from datasets import SHARED, path_of

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "backbones"))  # the reference, and the writer of caffemodels

from caffe_reference import (  # noqa: E402
    NO_WEIGHTS,
    last_writers,
    network_with,
    our_blobs,
    reference_blobs,
    worst_error,
)
from caffe_writer import caffemodel, random_arrays, structure_of_text  # noqa: E402

from graftwork.backbones.caffe.importing import read_caffe  # noqa: E402
from graftwork.backbones.caffe.weights import tensors_of  # noqa: E402
from graftwork.backbones.convert import to_graph  # noqa: E402
from graftwork.backbones.graph import CodesNetwork  # noqa: E402
from graftwork.backbones.openvino_engine import OpenVINOEngine  # noqa: E402
from graftwork.backbones.torch_engine import TorchEngine  # noqa: E402
from graftwork.backbones.torchvision_import import make_torchvision_importable  # noqa: E402
from graftwork.core.facts import Preprocess  # noqa: E402
from graftwork.errors import BackboneError  # noqa: E402
from graftwork.zoo.entries import add_network  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "caffe.json"
LIMIT = 1e-4
BATCH = 8
REASONS = ("pad that is smaller", "window is empty", "odd local_size")


def networks() -> list[dict[str, Any]]:
    rows = []
    for name in ("squeezenet", "alexnet", "caffenet", "googlenet"):
        folder = SHARED / "weights" / f"caffe-{name}"
        text = (folder / "deploy.prototxt").read_text()
        structure = structure_of_text(text)
        if name == "squeezenet":
            data = (folder / "squeezenet_v1.0.caffemodel").read_bytes()
            tensors = read_caffe(folder).tensors
        else:
            arrays = random_arrays(text)
            data, tensors = caffemodel(arrays), tensors_of(structure, arrays, name)
        px = structure.input_px
        planes = (np.random.default_rng(0).random((1, 3, px, px), np.float32) * 255 - 110).astype(np.float32)
        reference = reference_blobs(text, data, last_writers(structure), planes)
        error, blob = worst_error(our_blobs(network_with(structure, tensors), structure, planes), reference)
        rows.append({"network": name, "blobs": len(reference), "worst_error": error, "at": blob})
        print(rows[-1], flush=True)
    return rows


def one_layer(kind: str, parameters: str, px: int) -> str:
    head = f'input: "data" input_dim: 1 input_dim: 3 input_dim: {px} input_dim: {px}\n'
    return f'{head}layer {{ name: "it" type: "{kind}" bottom: "data" top: "it" {parameters} }}'


def compared(text: str, px: int, counts: Counter[str]) -> float:
    """Error against OpenCV; what is refused is counted by its reason, and gives 0."""
    try:
        structure = structure_of_text(text)
    except BackboneError as error:
        reason = next(reason for reason in REASONS if re.search(rf"the layer it \(.*{reason}", str(error)))
        counts[f"refused: {reason}"] += 1
        return 0.0
    planes = (np.random.default_rng(px).standard_normal((1, 3, px, px), np.float32) * 50).astype(np.float32)
    reference = reference_blobs(text, NO_WEIGHTS, {"it": "it"}, planes)
    counts["compared"] += 1
    return worst_error(our_blobs(network_with(structure, {}), structure, planes), reference)[0]


def torch_windows(kernel: int, stride: int, pad: int, px: int) -> int | None:
    """How many windows torch's own pooling has with ``ceil_mode``; None where it refuses."""
    try:
        pooled = torch.nn.functional.max_pool2d(torch.zeros(1, 1, px, px), kernel, stride, pad, ceil_mode=True)
    except RuntimeError:
        return None
    return int(pooled.shape[-1])


def caffe_windows(kernel: int, stride: int, pad: int, px: int) -> int:
    count = -(-(px + 2 * pad - kernel) // stride) + 1
    return count - (pad > 0 and (count - 1) * stride >= px + pad)


def grid() -> dict[str, Any]:
    pooling, norms = Counter[str](), Counter[str]()
    worst = {"MAX": 0.0, "AVE": 0.0, "ACROSS_CHANNELS": 0.0, "WITHIN_CHANNEL": 0.0}
    differing = []
    for kernel, stride, pad in itertools.product(range(1, 6), range(1, 4), range(3)):
        for method, px in itertools.product(("MAX", "AVE"), range(5, 65)):
            given = f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
            worst[method] = max(worst[method], compared(one_layer("Pooling", given, px), px, pooling))
        sizes = {px: torch_windows(kernel, stride, pad, px) for px in range(5, 65)}
        refuses = all(windows is None for windows in sizes.values())
        other = [px for px, windows in sizes.items() if windows not in (None, caffe_windows(kernel, stride, pad, px))]
        if (other or refuses) and pad < kernel:
            differing.append(
                {"kernel": kernel, "stride": stride, "pad": pad, "torch_refuses": refuses, "other_windows_at_px": other}
            )
    for size, px, region in itertools.product(range(1, 6), range(5, 65), ("ACROSS_CHANNELS", "WITHIN_CHANNEL")):
        given = f"lrn_param {{ local_size: {size} alpha: 0.02 beta: 0.75 norm_region: {region} }}"
        worst[region] = max(worst[region], compared(one_layer("LRN", given, px), px, norms))
    result = {"pooling": dict(pooling), "lrn": dict(norms), "worst_error": worst, "torch_ceil_mode_differs": differing}
    print(json.dumps(result, indent=1), flush=True)
    return result


def speed(rounds: int) -> list[dict[str, Any]]:
    make_torchvision_importable()
    import torchvision

    imported = read_caffe(SHARED / "weights" / "caffe-squeezenet")
    theirs = torchvision.models.squeezenet1_0(weights=None).eval()
    theirs.classifier[1].padding = (1, 1)  # as the text has it; torchvision left this padding of a 1 x 1 kernel out
    ours = network_with(imported.structure, imported.tensors)
    convolutions = [[m for m in net.modules() if isinstance(m, torch.nn.Conv2d)] for net in (ours, theirs)]
    for mine, its in zip(*convolutions, strict=True):
        its.load_state_dict(mine.state_dict())
    fed: Preprocess = imported.card.preprocess
    bodies = {
        "caffe": CodesNetwork(ours, (), fed, logits=True),
        "torchvision": CodesNetwork(theirs, (), fed, logits=True),
    }
    px = fed.input_px
    pixels = np.random.default_rng(0).integers(0, 256, (4 * BATCH, px, px, 3), np.uint8)
    with torch.inference_mode():
        mine, its = (body.eval()(torch.from_numpy(pixels[:BATCH]))[0] for body in bodies.values())
    agree = float((mine - its).abs().max() / its.abs().max())
    engines: dict[str, Callable[[CodesNetwork], Any]] = {
        "torch cpu f32": lambda body: TorchEngine(body, sizes=(BATCH,)),
        "openvino f32": lambda body: OpenVINOEngine(to_graph(body, px), "f32"),
    }
    rows = []
    for name, made in engines.items():
        running = {which: made(body) for which, body in bodies.items()}
        rates: dict[str, list[float]] = {which: [] for which in running}
        for turn in range(rounds + 1):
            order = list(running) if turn % 2 else list(running)[::-1]
            for which in order:
                begin = time.perf_counter()
                for _ in running[which].stream([pixels]):
                    pass
                if turn:  # the first one warms up
                    rates[which].append(len(pixels) / (time.perf_counter() - begin))
        ratio = statistics.median(a / b for a, b in zip(rates["caffe"], rates["torchvision"], strict=True))
        row = {
            "engine": name, "network": "squeezenet1_0", "input_px": px, "rounds": rounds, "logits_differ_by": agree,
            **{f"{which}_images_per_second": round(statistics.median(values), 1) for which, values in rates.items()},
            "ratio": round(ratio, 3),
        }  # fmt: skip
        rows.append(row)
        print(row, flush=True)
    return rows


def train_hymenoptera() -> dict[str, Any]:
    import tempfile

    from graftwork import train

    with tempfile.TemporaryDirectory() as folder:
        imported = read_caffe(SHARED / "weights" / "caffe-squeezenet")
        path = Path(folder) / "squeezenet"
        add_network(path, imported.card, imported.tensors)
        run = train(path_of("hymenoptera"), output=Path(folder) / "run", backbone=str(path), strategy="linear")
    assert run.test is not None
    score = run.test.score
    row = {"data": "hymenoptera", "test_accuracy": score.value, "interval": [score.low, score.high]}
    print(row, flush=True)
    return row


def main() -> None:
    import cv2

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="networks,grid,speed,train")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Any]] = {
        "networks": networks,
        "grid": grid,
        "speed": lambda: speed(options.rounds),
        "train": train_hymenoptera,
    }
    data = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in options.only.split(","):
        data[part] = parts[part]()
    data |= {"machine": machine.describe(), "opencv": cv2.__version__, "limit": LIMIT}
    RESULTS.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
