"""``graft advise`` on every real set and on digits, with its default options: what it says, its seconds, its memory.

    python benchmarks/advise.py [--sets …]

Each set is a new process with an empty cache, the engine measured before. One line of ``results/advise.jsonl`` per set and
kind of processor; lines that are there are not written again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from datasets import GROUPS, path_of
from machine import describe, kind
from processes import answer_of

RESULTS = Path(__file__).parent / "results" / "advise.jsonl"
SETS = (
    "hymenoptera", "dogcat", "trashnet", "xray", "rsscn7", "cells", "pacs-sketch", "neu-steel", "digits", "gtsrb",
    "cifar10",
)  # fmt: skip
MEASURED_ONCE = ("engines", "backbones")
"""Folders of the cache that are kept."""
SCRIPT = """
import json, resource, sys, time
import graftwork
data, group_by = sys.argv[1:]
begin = time.perf_counter()
advised = graftwork.advise(data, group_by=group_by or None)
seconds = time.perf_counter() - begin
advice = advised.advice
rule, measured, cost = advised.lines
print(json.dumps({"images": advice.size.images, "classes": len(advice.size.per_class), "groups": advice.size.groups,
    "entropy": round(advice.similarity.entropy, 2), "situation": advice.situation.in_words, "place": advice.place.in_words,
    "agree": advice.agree, "rule_says": rule, "measured_says": measured, "to_be_sure": cost.replace(data, "DATA"),
    "doubled": advice.curve.doubled.in_words if advice.curve.doubled else None,
    "findings": [finding.code for finding in advised.findings], "seconds": round(seconds, 1),
    "stage_seconds": {name: round(value, 1) for name, value in advised.stage_seconds.items()},
    "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)}))
"""


def advised(name: str, cache: Path) -> dict[str, object]:
    for folder in cache.iterdir() if cache.exists() else ():
        if folder.name not in MEASURED_ONCE:
            shutil.rmtree(folder)
    words = [sys.executable, "-c", SCRIPT, str(path_of(name)), GROUPS.get(name, "")]
    line: dict[str, object] = answer_of(words, GRAFTWORK_CACHE=str(cache), GRAFTWORK_HOME=str(cache))
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    names = parser.parse_args().sets.split(",")
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    names = [name for name in names if (name, kind()) not in {(row["set"], row["kind"]) for row in done}]
    with tempfile.TemporaryDirectory() as cache:
        if names:
            advised("hymenoptera", Path(cache))  # the engine is measured
        for name in names:
            line = {"set": name, "kind": kind(), **advised(name, Path(cache)), "machine": describe()}
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(name, line["measured_says"], line["seconds"], line["memory_mb"], flush=True)


if __name__ == "__main__":
    main()
