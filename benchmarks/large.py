"""100,000 images: memory and seconds of extraction, killed in the middle, and of choosing a linear classifier.

    python benchmarks/large.py

tiny-imagenet of ``../shared`` (bytes in Parquet, 200 classes) through the embedded default at 64 px. ``graft extract``
runs in a process of its own, is killed with SIGKILL once about half of the codes are stored, and is started again. Then
softmax and SVM on the last layer's codes (five folds, C chosen, then a refit), in a process of their own. Memory is the
largest resident set of each process, which counts the pages of mapped files too. Writes
``benchmarks/results/large.json``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from datasets import SHARED

RESULTS = Path(__file__).parent / "results" / "large.json"
IMAGES = 100_000
HALF = 12
"""Shards with about half of the codes."""

LINEAR = """
import json, resource, sys, time
import numpy as np
from graftwork.core.metrics import mean_loss
from graftwork.core.splits import deal
from graftwork.linear.cross_validate import cross_validate, refit
y = np.load(sys.argv[2])
x = np.load(sys.argv[1], mmap_mode="r")
folds = deal(y, np.arange(len(y)), (1.0,) * 5, np.random.default_rng(0))
result = {"images": x.shape[0], "width": x.shape[1], "dtype": str(x.dtype), "classes": int(y.max()) + 1}
for loss in sys.argv[3].split(","):
    begin = time.perf_counter()
    chosen = cross_validate(x, y, folds, n_classes=int(y.max()) + 1, loss=loss, metric="accuracy")
    middle = time.perf_counter()
    refit(x, y, n_classes=int(y.max()) + 1, loss=loss, C=chosen.C)
    result[loss] = {
        "C": chosen.C,
        "accuracy_percent": round(100 * (1 - mean_loss("accuracy", y, chosen.probabilities)), 2),
        "choose_seconds": round(middle - begin, 1),
        "refit_seconds": round(time.perf_counter() - middle, 1),
        "peak_mb_so_far": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result), flush=True)
"""


def peak_mb(process: subprocess.Popen[bytes], stop: Any = lambda: False) -> float:
    """Wait for a process, and return its largest resident set; SIGKILL it when ``stop`` is true."""
    peak = 0
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
        except (OSError, ProcessLookupError):
            break
        if stop():
            process.send_signal(signal.SIGKILL)
        time.sleep(0.2)
    process.wait()
    return peak / 1024


def shards(cache: Path) -> int:
    return sum(1 for _ in cache.rglob("shard.json"))


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place), Path(place) / "cache"
        data = folder / "tiny"
        data.mkdir()
        for part in ("train-0", "train-1"):
            (data / f"{part}.parquet").symlink_to(SHARED / "tiny-imagenet" / f"{part}.parquet")
        environment = {**os.environ, "GRAFTWORK_CACHE": str(cache)}
        output = folder / "codes.npz"
        words = ["extract", str(data), "--input-px", "64", "--layers", "last", "-o", str(output)]

        def command(stop: Any = lambda: False) -> tuple[float, float, int]:
            begin = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "graftwork.cli", *words], env=environment)
            peak = peak_mb(process, stop)
            return round(time.perf_counter() - begin, 1), round(peak), process.returncode

        rows: dict[str, Any] = {}

        def half() -> bool:
            return shards(cache) >= HALF

        for name, stop in (
            ("killed in the middle", half),
            ("started again", lambda: False),
            ("a third time", lambda: False),
        ):
            before = shards(cache)
            seconds, peak, code = command(stop)
            rows[name] = {
                "seconds": seconds, "peak_mb": peak, "exit": code, "shards_before": before, "shards_after": shards(cache)
            }  # fmt: skip
            print(name, rows[name], flush=True)
        linear = choose(folder, output)
    RESULTS.write_text(
        json.dumps({"machine": machine.describe(), "images": IMAGES, "extract": rows, "linear": linear}, indent=1)
        + "\n"
    )


def choose(folder: Path, output: Path) -> dict[str, Any]:
    """Choose C and refit on the codes, in a process of its own."""
    import numpy as np

    with np.load(output) as saved:
        layer = next(name for name in saved.files if name not in ("image", "label"))
        np.save(folder / "x.npy", saved[layer])
        np.save(folder / "y.npy", np.unique(saved["label"], return_inverse=True)[1])
    process = subprocess.Popen(
        [sys.executable, "-c", LINEAR, str(folder / "x.npy"), str(folder / "y.npy"), "softmax,svm"],
        stdout=subprocess.PIPE,
    )
    peak = peak_mb(process)
    lines = (process.stdout.read() if process.stdout is not None else b"").splitlines()
    result = {**json.loads(lines[-1]), "peak_mb": round(peak)}
    print(result, flush=True)
    return result


if __name__ == "__main__":
    main()
