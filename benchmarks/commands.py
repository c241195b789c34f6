"""Seconds of whole commands, each in a new process: help, and the prediction of one image (MobileNetV2, linear head).

    python benchmarks/commands.py

Writes results/commands.KIND.json, KIND being the processor's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets import SHARED, path_of
from machine import describe, results_path

ROUNDS = 7


def seconds(*words: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "graftwork.cli", *words], check=True, capture_output=True)
    return time.perf_counter() - begin


def main() -> None:
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
