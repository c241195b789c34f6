"""Two checkouts of graftwork compared on one machine: is every out-of-fold row and test probability the same to the bit?

    python benchmarks/compare_checkouts.py OLD NEW --work FOLDER [--sets hymenoptera,trashnet,digits] [--tournament]
    python benchmarks/compare_checkouts.py OLD NEW --work FOLDER --commands

Both run in processes of their own with ``PYTHONPATH=CHECKOUT/src``, from empty caches, through the public door alone
(``graftwork.train``), so that the script works with checkouts that are far apart. The second one is given the first
one's recorded choice of engine, since that choice is measured. Finished runs stay in the work folder and are not
repeated. ``--commands`` times whole commands in turn instead, and takes the peak memory of a training.

Writes results/compare_checkouts.json; the exit code is 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from datasets import path_of
from machine import describe
from processes import commit_of

RESULT = Path(__file__).parent / "results" / "compare_checkouts.json"
ROUNDS = 5
BACKBONE = "efficientnet_lite0"
RUNNER = """
import json, sys
import numpy as np
import graftwork
data, out, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
assert graftwork.__file__.startswith(sys.argv[4]), graftwork.__file__
run = graftwork.train(data, output=out + "/run", **settings)
rows = {f"trial {i:03}": trial.probabilities for i, trial in enumerate(run.trials)}
rows["test rows"], rows["test probabilities"] = run.test.rows, run.test.probabilities
np.savez(out + "/rows.part.npz", **rows)
json.dump({"engine": run.engine, "chosen": run.verdict.chosen}, open(out + "/facts.json", "w"))
"""
LINEAR = {"strategy": "linear", "backbone": BACKBONE, "seed": 0}
TOURNAMENT = {"strategy": "auto", "time_limit": "none", "backbone": BACKBONE, "input_px": 64, "seed": 0}


def environment(checkout: Path, folder: Path) -> dict[str, str]:
    places = {"GRAFTWORK_CACHE": str(folder / "cache"), "GRAFTWORK_HOME": str(folder / "home")}
    return {**os.environ, **places, "PYTHONPATH": str(checkout / "src")}


def rows_of(checkout: Path, folder: Path, data: Path, settings: dict[str, object], engines: Path | None) -> Path:
    """Run one training, unless it was run before; ``engines`` is a cache whose recorded choices it is given."""
    done = folder / "rows.npz"
    if done.exists():
        return done
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if engines is not None:
        for record in (engines / "engines").glob("*.json"):
            place = folder / "cache" / "engines" / record.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(record, place)
    words = [sys.executable, "-c", RUNNER, str(data), str(folder), json.dumps(settings), str(checkout)]
    subprocess.run(words, env=environment(checkout, folder), check=True)
    os.replace(folder / "rows.part.npz", done)
    return done


def differences(first: Path, second: Path) -> list[str]:
    """What differs between two files of rows."""
    old, new = np.load(first), np.load(second)
    if sorted(old.files) != sorted(new.files):
        return [f"{len(old.files)} arrays against {len(new.files)}"]
    wrong = [name for name in old.files if old[name].tobytes() != new[name].tobytes()]
    return [f"{name}: largest difference {np.nanmax(np.abs(old[name] - new[name])):.3g}" for name in wrong]


def compare(checkouts: tuple[Path, Path], work: Path, sets: list[str], tournament: bool) -> dict[str, object]:
    cells = {f"{name}, linear": (path_of(name), LINEAR) for name in sets}
    if tournament:
        cells["digits at 64 px, tournament without time limit"] = path_of("digits"), TOURNAMENT
    report = {}
    for number, (name, (data, settings)) in enumerate(cells.items()):
        folder = work / name.replace(", ", "-").replace(" ", "-")
        old = rows_of(checkouts[0], folder / "old", data, settings, None)
        new = rows_of(checkouts[1], folder / "new", data, settings, folder / "old" / "cache")
        facts = [json.loads((path.parent / "facts.json").read_text()) for path in (old, new)]
        wrong = differences(old, new) + ([] if facts[0] == facts[1] else [f"{facts[0]} against {facts[1]}"])
        arrays = len(np.load(old).files)
        report[name] = {"arrays": arrays, "engine": facts[0]["engine"], "different": wrong}
        print(f"{number + 1} of {len(cells)} {name}: {arrays} arrays, {'; '.join(wrong) or 'the same to the bit'}")
    return report


def seconds_of(checkout: Path, folder: Path, *words: str) -> tuple[float, float]:
    """Seconds of a command, and the peak memory of its process in MB."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "graftwork.cli", *words],
        env=environment(checkout, folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, words
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def commands(checkouts: tuple[Path, Path], work: Path) -> dict[str, object]:
    """Time commands of both checkouts in turn; ratios are new over old."""
    data = path_of("hymenoptera")
    image = str(next(Path(data).rglob("*.jpg")))
    taken: dict[str, list[list[tuple[float, float]]]] = {}
    for _ in range(ROUNDS):
        for i, checkout in enumerate(checkouts):
            folder = work / f"commands-{i}"
            shutil.rmtree(folder, ignore_errors=True)
            train = ("train", str(data), "--strategy", "linear", "--backbone", BACKBONE, "-o", str(folder / "run"))
            for name, words in {
                "graft --help": ("--help",),
                "graft train --strategy linear, cold": train,
                "graft predict, one image": ("predict", str(folder / "run"), image),
            }.items():
                taken.setdefault(name, [[], []])[i].append(seconds_of(checkout, folder, *words))
    report = {}
    for name, sides in taken.items():
        medians = [statistics.median(s for s, _ in side) for side in sides]
        memory = [statistics.median(mb for _, mb in side) for side in sides]
        report[name] = {
            "old_seconds": round(medians[0], 3),
            "new_seconds": round(medians[1], 3),
            "ratio": round(medians[1] / medians[0], 3),
            "old_mb": round(memory[0]),
            "new_mb": round(memory[1]),
            "rounds": ROUNDS,
        }
        print(name, report[name])
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", default="hymenoptera,trashnet,digits")
    parser.add_argument("--tournament", action="store_true")
    parser.add_argument("--commands", action="store_true")
    options = parser.parse_args()
    checkouts = options.old.resolve(), options.new.resolve()
    report = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    report |= {"commits": [commit_of(checkout) for checkout in checkouts], "machine": describe()}
    different = False
    if options.commands:
        report["commands"] = commands(checkouts, options.work)
    else:
        sets = list(filter(None, options.sets.split(",")))
        rows = compare(checkouts, options.work, sets, options.tournament)
        report["rows"] = report.get("rows", {}) | rows
        different = any(cell["different"] for cell in rows.values())
    RESULT.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(int(different))


if __name__ == "__main__":
    main()
