"""What linear classifiers say of each cell of the table of strategies in cross-validation, before anything is tuned.

    python benchmarks/linear_facts.py [--strategies FILE]

For each cell of ``results/strategies.jsonl``, on its images to train on: the share that a softmax on the last layer
misclassifies, and what the best layer, and that layer on codes averaged over 8 views, gain over it, with 95 % intervals.
That is what ``graft advise`` and the tournament know when they forecast. One line of ``results/linear_facts.jsonl`` a cell;
cells that are there are not computed again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from machine import describe
from strategies import RESULTS as STRATEGIES
from strategies import VIEWS, Cell, cell, linear, on_last_layer

from graftwork.core.plans import linear_candidates
from graftwork.steps.advise import gain_over

RESULTS = Path(__file__).parent / "results" / "linear_facts.jsonl"


def facts(at: Cell) -> dict[str, Any]:
    task = at.task
    last = on_last_layer(at)[1].chosen
    result = linear(at, linear_candidates(at.backbone.card))[1]
    chosen = result.chosen
    averaged = linear(at, (dataclasses.replace(chosen.candidate, views=VIEWS),), VIEWS)[1].chosen
    gains = {
        "best layer": gain_over(last, chosen, task, among=result.trials),
        "several views": gain_over(last, averaged, task),
    }
    return {
        "error": round(1 - float((last.probabilities.argmax(axis=1) == task.y).mean()), 4),
        "gains": {name: [round(end, 2) for end in dataclasses.astuple(gain)] for name, gain in gains.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", type=Path, default=STRATEGIES)
    torch.set_num_threads(1)
    cells = map(json.loads, parser.parse_args().strategies.read_text().splitlines())
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(row["set"], row["backbone"], row["size"], row["seed"]) for row in done}
    for row in cells:
        key = (row["set"], row["backbone"], row["size"], row["seed"])
        at = None if key in keys else cell(*key)
        if at is None:
            continue
        line = dict(zip(("set", "backbone", "size", "seed"), key, strict=True)) | facts(at) | {"machine": describe()}
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(*key, line["error"], line["gains"], flush=True)


if __name__ == "__main__":
    main()
