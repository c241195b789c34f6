"""What the choice under a time limit gains where it counts what like data gained, too.

    python benchmarks/choice.py [--sets …] [--seeds 0,1] [--limit 120]

``train`` with its default options on the embedded default at its own input, gains forecast from the other data sets alone.
Of the same trials three are chosen, fitted and tested: the best linear classifier, the cheapest that is not beaten and
measured within the tolerance of the best (``measured``), and that which ``train`` takes (``expected``): within the tolerance
as measured or as expected. Tests of the first two take no part in the time limit. One line of ``results/choice.jsonl`` per
set, seed and limit; cells that are there are not run again.
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

import graftwork
from advice import RESULTS as FACTS
from advice import cells, fitted
from graftwork.core.advice import GainModel
from graftwork.core.choose import choose
from graftwork.core.trials import Trial
from graftwork.fit import fit
from graftwork.steps import advise
from graftwork.steps.compete import compete
from graftwork.steps.score import score_held_out
from graftwork.steps.search import costs_of
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
    """Stands between ``train`` and its steps, and tests what else would have been chosen."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self._trials: dict[str, Trial] = {}

    def compete(
        self, result: Any, task: Any, backbones: Any, tuning: Any, context: Any, *rest: Any, **named: Any
    ) -> Any:
        judged = compete(result, task, backbones, tuning, context, *rest, **named)
        costs = costs_of([trial.candidate for trial in judged.trials], backbones.cards)
        measured = choose(judged.trials, costs, task, judged.baselines)
        self._trials = {
            "linear": result.chosen,
            "measured": judged.trials[measured.chosen],
            "expected": judged.chosen,
        }
        self.images = measured.images or len(task.y)
        self._backbones, self._context = backbones, context
        return judged

    def score(self, chosen: Any, network: Any, images: Any, task: Any) -> Any:
        own = score_held_out(chosen, network, images, task)
        tested: dict[str, str] = {self._trials["expected"].candidate.key: _right(own)}
        for name, trial in self._trials.items():
            key = trial.candidate.key
            if key not in tested:
                model = fit(trial, self._backbones.codes(trial.candidate), task, self._context)
                other = self._backbones.of(trial.candidate).with_fitted(model)
                tested[key] = _right(score_held_out(model, other, images, task))
            self.rows[name] = {"chosen": trial.candidate.label, "right": tested[key]}
        return own


def _right(score: Any) -> str:
    return "".join(map(str, (score.probabilities.argmax(axis=1) == score.y).astype(int)))


@contextlib.contextmanager
def without(model: GainModel, choices: Choices) -> Iterator[None]:
    with (
        mock.patch.object(advise, "gain_model", return_value=model),
        mock.patch.object(train, "compete", choices.compete),
        mock.patch.object(train, "score_held_out", choices.score),
    ):
        yield


def run(name: str, seed: int, limit: int, model: GainModel) -> dict[str, Any]:
    cache = Path(os.environ["GRAFTWORK_CACHE"])
    for folder in cache.iterdir() if cache.exists() else ():
        if folder.name not in MEASURED_ONCE:
            shutil.rmtree(folder)
    choices = Choices()
    with tempfile.TemporaryDirectory() as place, without(model, choices):
        os.environ["GRAFTWORK_HOME"] = place
        graftwork.train(
            path_of(name), backbone=BACKBONE, seed=seed, time_limit=f"{limit}s", group_by=GROUPS.get(name),
            output=Path(place) / "run",
        )  # fmt: skip
    return {"images_judged_on": int(choices.images), **choices.rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--limit", type=int, default=120, help="seconds")
    options = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    keys = {(row["set"], row["seed"], row["limit_seconds"], row["kind"], row["machine"]["cores"]) for row in done}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GRAFTWORK_CACHE"] = cache
        by_set = models()
        run("hymenoptera", 0, 45, by_set["hymenoptera"])  # engines are measured
        for seed, name in itertools.product(map(int, options.seeds.split(",")), options.sets.split(",")):
            if (name, seed, options.limit, kind(), describe()["cores"]) in keys:
                continue
            rows = run(name, seed, options.limit, by_set[name])
            line = {
                "set": name, "seed": seed, "limit_seconds": options.limit, "kind": kind(), **rows, "machine": describe(),
            }  # fmt: skip
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")
            percent = {
                which: (rows[which]["chosen"], round(100 * float(np.mean([c == "1" for c in rows[which]["right"]])), 1))
                for which in ("linear", "measured", "expected")
            }
            print(name, seed, percent, flush=True)


if __name__ == "__main__":
    main()
