"""The linear path of two checkouts on the nine sets of the strategies, paired per test image.

    python benchmarks/linear_path.py OLD NEW --work FOLDER [--sets …] [--sizes 5,20,all] [--seeds 0,1,2]

Both checkouts run in turn in processes of their own with ``PYTHONPATH=CHECKOUT/src``, on the same cells, folds and
engine: every linear candidate is cross-validated, one is chosen and tested. Candidates whose out-of-fold probabilities
are the same to the bit are counted by loss, so that what changed is known, and not only by how much. Finished sets stay
in the work folder. Writes results/linear_path.json.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from machine import describe

RESULTS = Path(__file__).parent / "results" / "linear_path.json"
SETS = "rsscn7,trashnet,pacs-sketch,hymenoptera,digits,neu-steel,cells,xray,dogcat"


def one_set(name: str, sizes: list[str], seeds: list[int]) -> list[dict[str, object]]:
    """Every cell of a set, with the checkout that this process imports."""
    import strategies

    from graftwork.core.plans import linear_candidates, linear_of

    cells = []
    for size, seed in itertools.product(sizes, seeds):
        at = strategies.cell(name, strategies.DEFAULT, size, seed)
        if at is None:
            continue
        tested, result = strategies.linear(at, linear_candidates(at.backbone.card))
        cells.append(
            {
                "set": name,
                "size": size,
                "seed": seed,
                "images": len(at.rows),
                "right": at.right(tested()).astype(int).tolist(),
                "chosen": result.chosen.candidate.label,
                "svm": linear_of(result.chosen.candidate).loss == "svm",
                "rows": {
                    trial.candidate.label: hashlib.sha256(trial.probabilities.tobytes()).hexdigest()[:16]
                    for trial in result.trials
                },
                "out_of_fold": {
                    trial.candidate.label: float((trial.probabilities.argmax(axis=1) == at.task.y).mean())
                    for trial in result.trials
                },
            }
        )
    return cells


def run_set(checkout: Path, work: Path, name: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """The cells of a set with one checkout, unless they were run before."""
    done = work / f"{name}.json"
    if not done.exists():
        work.mkdir(parents=True, exist_ok=True)
        paths = f"{checkout / 'src'}{os.pathsep}{Path(__file__).parent}"
        places = {"GRAFTWORK_CACHE": str(work / "cache"), "GRAFTWORK_HOME": str(work / "home"), "PYTHONPATH": paths}
        command = [sys.executable, __file__, "--one", name, "--sizes", options.sizes, "--seeds", options.seeds]
        out = subprocess.run(command, env={**os.environ, **places}, check=True, stdout=subprocess.PIPE, text=True)
        part = done.with_suffix(".part")
        part.write_text(out.stdout.splitlines()[-1])
        part.replace(done)
        for kind in ("codes", "measurements"):
            shutil.rmtree(work / "cache" / kind, ignore_errors=True)
    return list(json.loads(done.read_text()))


def compared(old: list[dict[str, object]], new: list[dict[str, object]]) -> dict[str, object]:
    """What the cells of one set say, the old checkout's next to the new one's."""
    gains, same = [], {"softmax": [0, 0], "svm": [0, 0]}
    best_svm = []
    for before, after in zip(old, new, strict=True):
        gains.append(100 * float(np.mean(after["right"]) - np.mean(before["right"])))
        for label, digest in after["rows"].items():
            loss = "svm" if "svm" in label.lower() else "softmax"
            same[loss][0] += digest == before["rows"][label]
            same[loss][1] += 1
        svm = [label for label in after["rows"] if "svm" in label.lower()]
        best_svm.append(100 * (max(after["out_of_fold"][s] for s in svm) - max(before["out_of_fold"][s] for s in svm)))
    n = sum(len(after["right"]) for after in new)
    discordant = sum(
        int(a != b) for o, w in zip(old, new, strict=True) for a, b in zip(o["right"], w["right"], strict=True)
    )
    return {
        "set": new[0]["set"],
        "cells": len(new),
        "tested": n,
        "gain_points": round(float(np.mean(gains)), 2),
        "gains_points": [round(gain, 2) for gain in gains],
        "discordant_percent": round(100 * discordant / n, 2),
        "best_svm_out_of_fold_gain_points": round(float(np.mean(best_svm)), 2),
        "chose_svm": [sum(bool(cell["svm"]) for cell in cells) for cells in (old, new)],
        "same_rows": {loss: {"same": a, "of": b} for loss, (a, b) in same.items()},
        "accuracy_percent": [
            round(100 * float(np.mean([np.mean(c["right"]) for c in cells])), 2) for cells in (old, new)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="CHECKOUT")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--one")
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--sizes", default="5,20,all")
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    if options.one:
        cells = one_set(options.one, options.sizes.split(","), [int(seed) for seed in options.seeds.split(",")])
        print("\n" + json.dumps(cells))
        return
    if len(options.checkouts) != 2 or options.work is None:
        parser.error("two checkouts and --work must be given")
    old, new = options.checkouts
    sets = []
    for name in options.sets.split(","):
        before = run_set(old, options.work / "old", name, options)
        engines = options.work / "new" / "cache" / "engines"
        if not engines.exists():  # the choice of engine is measured: both checkouts get the same
            shutil.copytree(options.work / "old" / "cache" / "engines", engines)
        sets.append(compared(before, run_set(new, options.work / "new", name, options)))
        print(sets[-1], flush=True)
        part = RESULTS.with_suffix(".part")
        part.write_text(json.dumps({"machine": describe(), "sets": sets}, indent=1) + "\n")
        part.replace(RESULTS)


if __name__ == "__main__":
    main()
