"""``kill -9`` at random moments of a tournament: the run that goes on ends as one that was left in peace.

    python benchmarks/killed.py [--times 20] [--tuned]

hymenoptera through the embedded default at 96 px, no time limit, a cache of its own for every run. The moments are drawn
evenly over the seconds of the undisturbed run. ``--tuned`` lets linear models read an early layer only, so that a tuned
network wins. One line each is added to ``results/killed.jsonl``; lines that are there count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from datasets import path_of
from machine import describe

from graftwork.runfolder import read_run

RESULTS = Path(__file__).parent / "results" / "killed.jsonl"
ASKED = [
    "--backbone",
    "efficientnet_lite0",
    "--input-px",
    "96",
    "--time-limit",
    "none",
    "--epochs",
    "2",
    "--loss",
    "softmax",
]


EARLY = ["--layer", "blocks.1", "--worth", "0", "--freeze-to", "blocks.4"]


def start(folder: Path, more: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "graftwork.cli", "train", str(path_of("hymenoptera")), "-o", str(folder / "run")]
    environment = {**os.environ, "GRAFTWORK_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        [*command, *ASKED, *more, "--quiet"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def end(folder: Path) -> dict[str, object]:
    run = read_run(folder / "run")
    assert run.test is not None
    return {
        "winner": run.verdict.rows[run.verdict.chosen].label,
        "fine_tunings": sum(bool(trial.curve) for trial in run.trials),
        "test_percent": round(100 * run.test.value, 3),
        "rows": np.asarray(run.test.probabilities).tobytes().hex(),
    }


def killed_after(seconds: float, more: list[str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = start(folder, more)
        try:
            process.wait(timeout=seconds)
            died = False
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            died = True
            assert start(folder, more).wait() == 0
        return {"killed": died, **end(folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--tuned", action="store_true")
    asked = parser.parse_args()
    more = EARLY if asked.tuned else []
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        assert start(Path(name), more).wait() == 0
        peace = end(Path(name))
        shutil.rmtree(name, ignore_errors=True)
    whole = time.perf_counter() - begin
    print({**peace, "rows": "..."}, f"{whole:.0f} s", flush=True)
    moments = np.random.default_rng(0).uniform(0, 1, asked.times)
    for number in range(len(done), asked.times):
        found = killed_after(float(moments[number] * whole), more)
        line = {
            "share_of_the_run": round(float(moments[number]), 3), "seconds_of_the_run": round(whole, 1), "killed": found["killed"],
            "same_winner": found["winner"] == peace["winner"], "same_test": found["test_percent"] == peace["test_percent"],
            "same_to_the_bit": found["rows"] == peace["rows"], "winner": found["winner"], "test_percent": found["test_percent"],
            "fine_tunings": found["fine_tunings"], "machine": describe(),
        }  # fmt: skip
        print({name: value for name, value in line.items() if name != "machine"}, flush=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
