"""Under a time limit: is the choice better by what was measured, or by what is expected, which counts like data, too?

    python benchmarks/choice.py [--sets …] [--sizes 20,all] [--seeds 0,1] [--limit 60] [--input-px 128]

``train`` on the embedded default, gains forecast from the other data sets alone. Every candidate that competed in the
choice is fitted and tested, except linear classifiers of other layers than the best one's; ``write_results.py`` says what
each rule chooses of them. The tests take no part in the time limit. One line of ``results/choice.jsonl`` per set, size, seed,
limit and kind of processor; cells that are there are not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from datasets import GROUPS, SETS, path_of
from machine import describe, kind
from peers import group_by, write_files
from strategies import cell

import graftwork
from advice import RESULTS as FACTS
from advice import cells, fitted
from graftwork.core.choose import choose
from graftwork.core.gains import GainModel
from graftwork.core.trials import Trial
from graftwork.fit import fit
from graftwork.steps import advise
from graftwork.steps import compete as steps_compete
from graftwork.steps.score import score_held_out
from graftwork.verbs import train

RESULTS = Path(__file__).parent / "results" / "choice.jsonl"
BACKBONE = "efficientnet_lite0"
MEASURED_ONCE = ("engines", "backbones")
"""Folders of the cache that are kept."""


def models() -> dict[str, GainModel]:
    """Return how gains are forecast for each set, from all other sets."""
    similarity = json.loads((FACTS / "similarity.json").read_text())["sets"]
    lines, facts = (
        [json.loads(line) for line in (FACTS / f"{name}.jsonl").read_text().splitlines()]
        for name in ("strategies", "linear_facts")
    )
    units = cells(lines, facts, {name: row["entropy"] for name, row in similarity.items()}).units()
    return {name: fitted(units, units.sets != name) for name in SETS}


class Choices:
    """Stands between ``train`` and its steps, and tests every candidate that competed in the last choice."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.linear = ""
        self.images = 0
        self._trials: list[Trial] = []

    def choose(self, trials: Any, costs: Any, task: Any, baselines: Any, *, expected: Any) -> Any:
        verdict = choose(trials, costs, task, baselines, expected=expected)
        completed = [j for j, trial in enumerate(trials) if trial.ended == "completed"]
        common = np.logical_and.reduce([trials[j].run for j in completed])
        y = task.y[common]
        self.images = int(common.sum())
        self._trials = [trials[j] for j in completed]
        self.rows = [
            {
                "label": trials[j].candidate.label,
                "kind": trials[j].candidate.plan.kind,
                "cost": round(costs[j], 4),
                "expected": round(expected[j], 5),
                "deficit": round(verdict.rows[j].deficit, 5),
                "beaten": verdict.rows[j].beaten,
                "log_loss": round(-float(np.log(trials[j].probabilities[common][range(len(y)), y]).mean()), 5),
                "images": int(trials[j].run.sum()),
                "chosen": j == verdict.chosen,
            }
            for j in completed
        ]
        return verdict

    def compete(
        self, result: Any, task: Any, backbones: Any, tuning: Any, context: Any, *rest: Any, **named: Any
    ) -> Any:
        judged = steps_compete.compete(result, task, backbones, tuning, context, *rest, **named)
        self.linear = result.chosen.candidate.label
        self._backbones, self._context = backbones, context
        return judged

    def score(self, chosen: Any, network: Any, images: Any, task: Any) -> Any:
        own = score_held_out(chosen, network, images, task)
        for row, trial in zip(self.rows, self._trials, strict=True):
            if (
                row["kind"] == "linear"
                and trial.candidate.views == 1
                and row["label"] != self.linear
                and not row["chosen"]
            ):
                continue  # another layer: the rules that are compared differ in what is dearer
            model = fit(trial, self._backbones.codes(trial.candidate), task, self._context)
            other = self._backbones.of(trial.candidate).with_fitted(model)
            row["right"] = _right(score_held_out(model, other, images, task))
        return own


def _right(score: Any) -> str:
    return "".join(map(str, (score.probabilities.argmax(axis=1) == score.y).astype(int)))


@contextlib.contextmanager
def without(model: GainModel, choices: Choices) -> Iterator[None]:
    with (
        mock.patch.object(advise, "gain_model", return_value=model),
        mock.patch.object(steps_compete, "choose", choices.choose),
        mock.patch.object(train, "compete", choices.compete),
        mock.patch.object(train, "score_held_out", choices.score),
    ):
        yield


def run(name: str, size: str, seed: int, limit: int, model: GainModel, px: int | None) -> dict[str, Any]:
    cache = Path(os.environ["GRAFTWORK_CACHE"])
    for folder in cache.iterdir() if cache.exists() else ():
        if folder.name not in MEASURED_ONCE:
            shutil.rmtree(folder)
    choices = Choices()
    with tempfile.TemporaryDirectory() as place, without(model, choices):
        os.environ["GRAFTWORK_HOME"] = place
        data: dict[str, Any] = {"data": path_of(name), "group_by": GROUPS.get(name)}
        if size != "all":
            at = cell(name, BACKBONE, size, seed)
            assert at is not None
            files = write_files(at, Path(place) / "files")
            data = {"data": files.root / "train", "test": str(files.root / "test"), "group_by": group_by(name)}
        graftwork.train(
            **data, backbone=BACKBONE, input_px=px, seed=seed, time_limit=f"{limit}s",
            output=Path(place) / "run",
        )  # fmt: skip
    return {"images_judged_on": choices.images, "linear": choices.linear, "trials": choices.rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sizes", default="20", help="images a class, or all")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--limit", type=int, default=60, help="seconds")
    parser.add_argument("--input-px", type=int, default=128)
    options = parser.parse_args()
    px = options.input_px
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(row["set"], row["size"], row["seed"], row["limit_seconds"], row["input_px"], row["kind"]) for row in done}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GRAFTWORK_CACHE"] = cache
        by_set = models()
        run("hymenoptera", "20", 0, 45, by_set["hymenoptera"], px)  # engines are measured
        cells = itertools.product(map(int, options.seeds.split(",")), options.sizes.split(","), options.sets.split(","))
        for seed, size, name in cells:
            if (name, size, seed, options.limit, px, kind()) in keys:
                continue
            rows = run(name, size, seed, options.limit, by_set[name], px)
            line = {
                "set": name, "size": size, "seed": seed, "limit_seconds": options.limit, "input_px": px, "kind": kind(),
                **rows, "machine": describe(),
            }  # fmt: skip
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")
            percent = {
                row["label"]: round(100 * row["right"].count("1") / len(row["right"]), 1)
                for row in rows["trials"]
                if "right" in row
            }
            print(name, size, seed, percent, flush=True)


if __name__ == "__main__":
    main()
