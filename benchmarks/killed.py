"""``kill -9`` at random moments of a tournament: the resumed run must end as an uninterrupted one does.

    python benchmarks/killed.py [--times 20] [--tuned]

hymenoptera through the embedded default at 96 px, no time limit, an empty cache for every run. The moments are drawn
uniformly over the seconds of the uninterrupted run. ``--tuned`` gives linear models an early layer only, so that a
fine-tuned network wins. Each run adds one line to ``results/killed.jsonl``; existing lines count towards ``--times``.
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
ARGUMENTS = [
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
EARLY = ["--layer", "blocks.1", "--tolerance", "0", "--freeze-to", "blocks.4"]


def start(folder: Path, more: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "graftwork.cli", "train", str(path_of("hymenoptera")), "-o", str(folder / "run")]
    environment = {**os.environ, "GRAFTWORK_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        [*command, *ARGUMENTS, *more, "--quiet"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def end(folder: Path) -> dict[str, object]:
    run = read_run(folder / "run")
    assert run.test is not None
    return {
        "winner": run.verdict.rows[run.verdict.chosen].label,
        "fine_tunings": sum(bool(trial.curve) for trial in run.trials),
        "test_percent": round(100 * run.test.score.value, 3),
        "rows": np.asarray(run.test.probabilities).tobytes().hex(),
    }


def killed_after(seconds: float, more: list[str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = start(folder, more)
        try:
            process.wait(timeout=seconds)
            was_killed = False
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            was_killed = True
            assert start(folder, more).wait() == 0
        return {"killed": was_killed, **end(folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    more = EARLY if options.tuned else []
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        assert start(Path(name), more).wait() == 0
        uninterrupted = end(Path(name))
        shutil.rmtree(name, ignore_errors=True)
    seconds_of_the_run = time.perf_counter() - begin
    print({**uninterrupted, "rows": "..."}, f"{seconds_of_the_run:.0f} s", flush=True)
    moments = np.random.default_rng(0).uniform(0, 1, options.times)
    for number in range(len(done), options.times):
        resumed = killed_after(float(moments[number] * seconds_of_the_run), more)
        line = {
            "share_of_the_run": round(float(moments[number]), 3),
            "seconds_of_the_run": round(seconds_of_the_run, 1),
            "killed": resumed["killed"],
            "same_winner": resumed["winner"] == uninterrupted["winner"],
            "same_test": resumed["test_percent"] == uninterrupted["test_percent"],
            "same_to_the_bit": resumed["rows"] == uninterrupted["rows"],
            "winner": resumed["winner"],
            "test_percent": resumed["test_percent"],
            "fine_tunings": resumed["fine_tunings"],
            "machine": describe(),
        }
        print({name: value for name, value in line.items() if name != "machine"}, flush=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
