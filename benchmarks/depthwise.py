"""Gradients of depthwise convolutions by every path, and whole training steps with and without the paths chosen.

    python benchmarks/depthwise.py [--rounds 5] [--networks NAME,...] [--px 96,224] [--threads 2,1]

timm's networks with random weights, batches of 32, channels last, batch norm in eval mode. For each depthwise layer:
milliseconds of each gradient by each path, batch 32, the best of the rounds taken in turn. For each network: images/s of
a whole step (forward, backward, AdamW) in float32 and in bfloat16, with torch's own gradients and with those that
``measured_paths`` chooses, the best of the rounds and their median; what ``training_engine`` chooses, which measures
less and on one thread, and its share of the best of the four. With one thread, seconds are those of the processor, so
that a busy machine gives the same figures. Rows are added to
``benchmarks/results/depthwise.KIND.json``, KIND being the processor's; a row of the same case replaces the one before.
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import machine
import torch
from forward import random_card

from graftwork.backbones.load import load
from graftwork.core.facts import BackboneCard
from graftwork.finetune.cut import last_layer_network
from graftwork.finetune.depthwise import (
    INPUT_PATHS,
    PLAIN,
    WEIGHT_PATHS,
    GradientPaths,
    Layer,
    depthwise_layers,
    sample,
)
from graftwork.finetune.engine import TrainingEngine, training_engine
from graftwork.finetune.timing import THREAD_CLOCK, fastest

NETWORKS = "tf_efficientnet_lite0,mobilenetv2_100,mobilenetv3_large_100"
BATCH = 32
PRECISIONS = ("float32", "bfloat16")
FASTER = "faster paths"


def seconds_of(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round, the runs taken in turn; a first round is not counted."""
    clock = THREAD_CLOCK if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for measured in range(1 + rounds):
        for name, run in runs.items():
            begin = clock()
            run()
            if measured:
                seconds[name].append(clock() - begin)
    return seconds


def layer_row(layer: Layer, rounds: int) -> dict[str, Any]:
    values = sample(layer, BATCH)
    runs = {
        f"{kind}, {name}": functools.partial(path, *values, layer)
        for kind, paths in (("inputs", INPUT_PATHS), ("weight", WEIGHT_PATHS))
        for name, path in paths.items()
    }
    best = {name: 1e3 * min(values) for name, values in seconds_of(runs, rounds).items()}
    return {"layer": layer.name, "milliseconds": {name: round(value, 3) for name, value in best.items()}}


def chosen_paths(row: Mapping[str, Any]) -> GradientPaths:
    """Return the paths that the milliseconds of a layer say."""
    of: dict[str, dict[str, float]] = {"inputs": {}, "weight": {}}
    for name, value in row["milliseconds"].items():
        kind, _, path = name.partition(", ")
        of[kind][path] = value
    return GradientPaths(**{kind: fastest(values, PLAIN) for kind, values in of.items()})


def network_row(card: BackboneCard, threads: int, rounds: int) -> dict[str, Any]:
    network = last_layer_network(load(card), card).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    px = card.preprocess.input_px
    pixels = torch.randint(0, 256, (BATCH, px, px, 3), dtype=torch.uint8)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0)

    def step(engine: TrainingEngine) -> None:
        optimiser.zero_grad(set_to_none=True)
        with engine.computing(pixels.device):
            (codes,) = network(pixels)
        codes.float().sum().backward()
        optimiser.step()

    def forward(engine: TrainingEngine) -> None:
        with engine.computing(pixels.device):
            network(pixels)

    engines, layers = {}, []
    for precision in PRECISIONS:
        plain = TrainingEngine(precision, {})  # type: ignore[arg-type]
        noted = sorted(depthwise_layers(functools.partial(forward, plain)), key=lambda layer: layer.name)
        rows = [layer_row(layer, rounds) for layer in noted]
        engines[f"{precision}, {PLAIN}"] = plain
        paths = {row["layer"]: chosen for row in rows if (chosen := chosen_paths(row)) != GradientPaths()}
        engines[f"{precision}, {FASTER}"] = dataclasses.replace(plain, gradients=paths)
        layers += rows
    engines["chosen"] = training_engine(card)
    seconds = seconds_of({name: functools.partial(step, engine) for name, engine in engines.items()}, rounds)
    rates = {name: round(BATCH / min(values), 1) for name, values in seconds.items()}
    return {
        "network": card.architecture,
        "input_px": px,
        "threads": threads,
        "images_per_second": rates,
        "median_images_per_second": {n: round(BATCH / statistics.median(values), 1) for n, values in seconds.items()},
        "times_plain": {
            precision: round(rates[f"{precision}, {FASTER}"] / rates[f"{precision}, {PLAIN}"], 2)
            for precision in PRECISIONS
        },
        "chosen": engines["chosen"].precision,
        "chosen_of_best": round(rates["chosen"] / max(rates.values()), 2),
        "layers": layers,
        "load_average": round(os.getloadavg()[0], 1),
        "machine": machine.describe(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--px", default="96,224")
    parser.add_argument("--threads", default="2,1")
    options = parser.parse_args()
    path = machine.results_path("depthwise")
    cases = itertools.product(options.px.split(","), options.networks.split(","), options.threads.split(","))
    for px, name, threads in cases:
        torch.set_num_threads(int(threads))
        with tempfile.TemporaryDirectory() as folder:
            card = random_card(name, Path(folder))
            card = dataclasses.replace(card, preprocess=dataclasses.replace(card.preprocess, input_px=int(px)))
            row = network_row(card, int(threads), options.rounds)
        print({key: value for key, value in row.items() if key not in ("layers", "machine")}, flush=True)
        rows = json.loads(path.read_text()) if path.exists() else []
        case = [row[key] for key in ("network", "input_px", "threads")]
        rows = [other for other in rows if [other[key] for key in ("network", "input_px", "threads")] != case]
        path.write_text(json.dumps([*rows, row], indent=1) + "\n")


if __name__ == "__main__":
    main()
