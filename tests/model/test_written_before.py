"""A folder that an earlier build wrote is read by this one: ``tests/written`` is never written again, only added to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import graftwork
from graftwork.runfolder import read_run

WRITTEN = Path(__file__).parents[1] / "written"
"""``train`` on 45 tiny images with a tiny network, without report, thumbnails and lock."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WRITTEN / "run", tmp_path / "run"))


def test_the_record_is_read_and_its_report_written(run: Path) -> None:
    record = read_run(run)
    assert record.classes == ("ant", "bee", "cat")
    assert record.test is not None
    assert record.test.score.value == 1
    assert {trial.candidate.plan.kind for trial in record.trials} == {"linear", "partial", "full"}
    assert record.advice is not None
    page = graftwork.report(run).read_text(encoding="utf-8")
    assert record.verdict.rows[record.verdict.chosen].label in page


@pytest.mark.parametrize("with_engine", [True, False])
def test_the_model_gives_the_probabilities_that_it_gave(run: Path, with_engine: bool) -> None:
    if not with_engine:
        shutil.rmtree(run / "model" / "engine")
    model = graftwork.load(run)
    expected = json.loads((run / "model" / "samples" / "expected.json").read_text(encoding="utf-8"))
    rows = model.probabilities([run / "model" / "samples" / name for name in expected])
    np.testing.assert_allclose(rows, [sample["probabilities"] for sample in expected.values()], atol=2e-2)
