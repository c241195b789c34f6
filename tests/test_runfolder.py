"""A run is read back as it was written; one that cannot be read says in one line what to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from graftwork.core import record
from graftwork.core.choose import choose
from graftwork.core.facts import BackboneCard, DatasetFacts, Preprocess, Tap
from graftwork.core.findings import finding
from graftwork.core.plans import Candidate, Linear, Recipe
from graftwork.core.record import SCHEMA_VERSION, ImageTable, Projection, Run
from graftwork.core.scoring import score
from graftwork.core.trials import Baseline, Task, Trial
from graftwork.errors import ModelError
from graftwork.runfolder import RUN, read_run, write_run

N, TEST = 24, 6


def small_run() -> Run:
    """A run of two candidates on 24 images, 6 more as a test part; one fold of a fine-tuning was not run."""
    rng = np.random.default_rng(0)
    y, folds = np.arange(N) % 2, np.arange(N) // 2 % 3
    rows = rng.dirichlet((1.0, 1.0), size=N).astype(np.float32)
    partial = rows.copy()
    partial[folds == 2] = np.nan
    trials = (
        Trial(Candidate("file:net", ("layer4",), Linear()), rows, 0.5, {"C": 1.0, "temperature": 1.25}),
        Trial(
            Candidate("file:net", ("layer4",), Recipe(freeze_to="layer3", epochs=2)),
            partial,
            2.5,
            {"epochs": 2.0},
            ended="eliminated",
            curve=((0.75, 0.5), (0.25, 0.125)),
        ),
    )
    task = Task(y, np.arange(N), folds, ("a", 'b, "ü"\n'))
    baselines = (Baseline("majority class", np.full((N, 2), 0.5, np.float32)),)
    total, test = N + TEST, np.arange(N, N + TEST)
    names = tuple(f"folder, {i}.png" for i in range(total))
    return Run(
        name="small",
        created="2026-01-02T03:04:05",
        versions={"graftwork": "0"},
        machine={"cores": "2"},
        command="graft train folder",
        settings={"strategy": "auto", "minutes": None},
        engine="torch cpu f32",
        seed=0,
        classes=task.classes,
        cards=(BackboneCard("file:net", "file", "resnet18", "net", Preprocess(), (Tap("layer4", 1.0, 8, relu=True),)),),
        facts=DatasetFacts(N, task.classes, (N // 2, N // 2), None, 64, 48, {"PNG": N}, {"RGB": N}),
        findings=(finding("G401", "a reason", count=1),),
        images=ImageTable(
            names=names,
            digests=tuple(f"{i:064x}" for i in range(total)),
            labels=tuple(task.classes[i % 2] for i in range(total)),
            parts=("develop",) * N + ("test",) * TEST,
            folds=(*map(int, folds), *[-1] * TEST),
            groups=tuple(range(total)),
        ),
        develop=np.arange(N),
        y=y,
        trials=trials,
        baselines=baselines,
        verdict=choose(trials, [1.0, 2.0], task, baselines),
        test=record.TestScore(
            score=score("accuracy", test % 2, rows[:TEST], test),
            how="held-out test",
            rows=test,
            y=test % 2,
            probabilities=rows[:TEST],
        ),
        projection=Projection("PCA", np.arange(N), rng.normal(size=(N, 2)).astype(np.float32)),
        stage_seconds={"extract": 1.5},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(small_run(), tmp_path / "run")
    return tmp_path / "run"


def test_a_run_comes_back_as_it_was_written(folder, tmp_path):
    run, back = small_run(), read_run(folder)
    for wrote, got in zip(run.trials, back.trials, strict=True):
        assert got.probabilities.dtype == wrote.probabilities.dtype
        assert np.array_equal(got.probabilities, wrote.probabilities, equal_nan=True)
        assert (got.candidate, got.ended, got.curve, got.details) == (
            wrote.candidate,
            wrote.ended,
            wrote.curve,
            wrote.details,
        )
    assert back.test is not None
    assert run.test is not None
    assert np.array_equal(back.test.probabilities, run.test.probabilities)
    assert (back.images, back.cards, back.facts, back.findings, back.verdict, back.classes) == (
        run.images,
        run.cards,
        run.facts,
        run.findings,
        run.verdict,
        run.classes,
    )
    write_run(back, tmp_path / "again")
    for file in (RUN, "splits.csv"):
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()


@pytest.mark.parametrize("version", [1, 99, "2", None])
def test_a_run_of_another_version_says_in_one_line_to_train_again(folder, version):
    plain = json.loads((folder / RUN).read_text(encoding="utf-8"))
    (folder / RUN).write_text(json.dumps({**plain, "schema_version": version}), encoding="utf-8")
    with pytest.raises(ModelError, match=rf"must have schema version {SCHEMA_VERSION}, but has .*; train again$"):
        read_run(folder)


@pytest.mark.parametrize("field", ["schema_version", "trials", "verdict", "y"])
def test_a_run_without_a_field_says_in_one_line_to_train_again(folder, field):
    plain = json.loads((folder / RUN).read_text(encoding="utf-8"))
    del plain[field]
    (folder / RUN).write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(ModelError, match=r"must hold a complete run, but .*; train again$"):
        read_run(folder)


@pytest.mark.parametrize("file", [RUN, "arrays.npz", "splits.csv"])
@pytest.mark.parametrize("left", [0, 100])
def test_a_truncated_file_of_a_run_says_in_one_line_to_train_again(folder, file, left):
    (folder / file).write_bytes((folder / file).read_bytes()[:left])
    with pytest.raises(ModelError, match=r"must hold a complete run, but .*; train again$"):
        read_run(folder)


def test_a_folder_without_a_run_says_what_to_give(tmp_path):
    with pytest.raises(ModelError, match=r"has no run\.json; give the -o of a train"):
        read_run(tmp_path)
