"""Seconds of whole commands, each in a new process: help, the prediction of one image (MobileNetV2, linear head), and a
linear classifier of ants and bees on the embedded default, whose engine was measured before and no codes are cached.

    python benchmarks/commands.py [--before OLD]

With a checkout of an earlier commit, its linear classifier is timed in turn. Writes results/commands.KIND.json, KIND
being the processor's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets import SHARED, path_of
from machine import describe, results_path

ROUNDS = 7
TRAININGS = 3
HERE = Path(__file__).resolve().parents[1]


def seconds(*words: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "graftwork.cli", *words], check=True, capture_output=True)
    return time.perf_counter() - begin


def linear_seconds(checkout: Path, cache: Path, data: Path) -> float:
    """Train a linear classifier with a checkout, from a cache that keeps what was measured of machine and network."""
    for folder in ("codes", "measurements", "run"):
        shutil.rmtree(cache / folder, ignore_errors=True)
    places = {"PYTHONPATH": str(checkout / "src"), "GRAFTWORK_CACHE": str(cache), "GRAFTWORK_HOME": str(cache / "home")}
    words = ["train", str(data), "--strategy", "linear", "-o", str(cache / "run"), "--quiet"]
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "graftwork.cli", *words], check=True, capture_output=True, env=os.environ | places
    )
    return time.perf_counter() - begin


def linear(checkouts: dict[str, Path], data: Path) -> dict[str, list[float]]:
    """Seconds of a linear classifier by checkout, in turn; the first of each measures the engine and is left out."""
    with tempfile.TemporaryDirectory() as folder:
        taken: dict[str, list[float]] = {name: [] for name in checkouts}
        for _ in range(TRAININGS + 1):
            for number, (name, checkout) in enumerate(checkouts.items()):
                taken[name].append(linear_seconds(checkout, Path(folder) / str(number), data))
    return {name: seconds[1:] for name, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="OLD")
    before = parser.parse_args().before
    checkouts = {"graft train --strategy linear": HERE}
    if before is not None:
        checkouts["graft train --strategy linear, before"] = before.resolve()
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        data = path_of("hymenoptera")
        weights = str(SHARED / "weights" / "mobilenetv2_100.tv_in1k.safetensors")
        train = seconds(
            "train", str(data), "-o", run, "--backbone", weights, "--layer", "last", "--strategy", "linear", "--quiet"
        )
        image = str(next(Path(data).rglob("*.jpg")))
        rows = {
            "graft --help": [seconds("--help") for _ in range(ROUNDS)],
            "graft train --help": [seconds("train", "--help") for _ in range(ROUNDS)],
            "graft predict, one image": [seconds("predict", run, image) for _ in range(ROUNDS)],
            **linear(checkouts, data),
        }
    figures = {
        name: {"median_seconds": round(statistics.median(s), 3), "all": [round(x, 3) for x in s]}
        for name, s in rows.items()
    }
    result = {"rounds": ROUNDS, "commands": figures, "train_seconds": round(train, 1), "machine": describe()}
    results_path("commands").write_text(json.dumps(result, indent=1) + "\n")
    for name, row in figures.items():
        print(name, row["median_seconds"])


if __name__ == "__main__":
    main()
