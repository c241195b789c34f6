"""Two checkouts in the same seconds: test accuracy of ``train`` with its default options, paired per image.

    python benchmarks/equal_seconds.py OLD [--sets …] [--seeds 0,1,2] [--limits 120,60] [--old-limit 600]

OLD is a checkout of an earlier commit (``git worktree add --detach ../old COMMIT``); the other side is this one. Both run
in turn on the embedded default at its own input, with the same split, their engines measured before and all other caches
empty. ``taskset -c 0`` before it measures with one core. ``--old-limit`` gives OLD other seconds than this one:
how long it takes this one to be as accurate. One line of ``results/equal_seconds.jsonl`` per set, seed, limit,
kind of processor and number of cores; cells that are there are not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from datasets import GROUPS, SETS, path_of
from machine import describe, kind
from processes import answer_of, commit_of

RESULTS = Path(__file__).parent / "results" / "equal_seconds.jsonl"
HERE = Path(__file__).resolve().parents[1]
BACKBONE = "efficientnet_lite0"
MEASURED_ONCE = ("engines", "backbones")
"""Folders of the cache that are kept."""
SCRIPT = f"""
import json, resource, sys, time
import graftwork
data, seed, limit, group_by, output = sys.argv[1:]
begin = time.perf_counter()
run = graftwork.train(data, backbone={BACKBONE!r}, seed=int(seed), time_limit=limit, group_by=group_by or None, output=output)
seconds = time.perf_counter() - begin
rows = [run.images.names[row] for row in run.test.rows]
right = [int(p.argmax() == y) for p, y in zip(run.test.probabilities, run.test.y)]
chosen = run.trials[run.verdict.chosen]
tuned = sorted({{t.candidate.label: int(t.run.sum()) for t in run.trials if t.candidate.plan.kind != "linear"}}.items())
print(json.dumps({{"images": rows, "right": "".join(map(str, right)), "seconds": round(seconds, 1),
    "chosen": chosen.candidate.label, "kind": chosen.candidate.plan.kind, "refit": "fold" not in chosen.details,
    "images_tuned_ones_are_judged_on": dict(tuned),
    "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}}))
"""


def run(checkout: Path, cache: Path, name: str, seed: int, limit: str) -> dict[str, Any]:
    for folder in cache.iterdir() if cache.exists() else ():
        if folder.name not in MEASURED_ONCE:
            shutil.rmtree(folder)
    with tempfile.TemporaryDirectory() as work:
        words = [str(path_of(name)), str(seed), limit, GROUPS.get(name, ""), f"{work}/run"]
        result: dict[str, Any] = answer_of(
            [sys.executable, "-c", SCRIPT, *words],
            PYTHONPATH=str(checkout / "src"), GRAFTWORK_CACHE=str(cache), GRAFTWORK_HOME=work,
        )  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--limits", default="120,60", help="seconds")
    parser.add_argument("--old-limit", type=int, help="seconds of OLD, where they are others")
    options = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {
        (r["set"], r["seed"], r["limit_seconds"], r["old_limit_seconds"], r["kind"], r["machine"]["cores"])
        for r in done
    }
    sides = {"old": options.old.resolve(), "new": HERE}
    commits = {side: commit_of(path) for side, path in sides.items()}
    with tempfile.TemporaryDirectory() as caches:
        for side, path in sides.items():  # engines are measured
            run(path, Path(caches) / side, "hymenoptera", 0, "60s")
        for seed, limit, name in itertools.product(
            map(int, options.seeds.split(",")), map(int, options.limits.split(",")), options.sets.split(",")
        ):
            limits = {"old": options.old_limit or limit, "new": limit}
            if (name, seed, limit, limits["old"], kind(), describe()["cores"]) in keys:
                continue
            rows = {side: run(sides[side], Path(caches) / side, name, seed, f"{limits[side]}s") for side in sides}
            images = [rows[side].pop("images") for side in sides]
            assert images[0] == images[1], "both sides must test on the same images"
            line = {
                "set": name, "seed": seed, "limit_seconds": limit, "old_limit_seconds": limits["old"], "kind": kind(),
                "commits": commits, "test": len(images[0]), **rows, "machine": describe(),
            }  # fmt: skip
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")
            shares = {side: round(100 * row["right"].count("1") / len(images[0]), 1) for side, row in rows.items()}
            print(name, seed, limit, shares, *((rows[s]["chosen"], rows[s]["seconds"]) for s in sides), flush=True)


if __name__ == "__main__":
    main()
