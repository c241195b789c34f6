"""A report and a model folder are sent to others: they name no folder of the machine that they were made on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from example_run import example_run

import graftwork
from graftwork.reporting.shareable import shareable
from graftwork.testing import write_tiny_backbone, write_tiny_images


def test_no_absolute_path_is_in_a_report_or_a_model_folder(tmp_path: Path) -> None:
    here = tmp_path / "somebody's own folder"
    data = write_tiny_images(here / "photos", per_class=16)
    test = write_tiny_images(here / "later", per_class=4, seed=5)
    weights = write_tiny_backbone(here / "networks")
    (data / "ant" / "notes.txt").write_text("no image")
    run = graftwork.train(
        data, output=here / "run", backbone=str(weights), test=str(test), strategy="linear", input_px=32
    )
    assert run.card.name == f"file:{weights.name}"
    pages = [here / "run" / "report.html", *(path for path in (here / "run" / "model").rglob("*") if path.is_file())]
    assert len(pages) > 6
    for path in pages:
        content = path.read_bytes().decode("utf-8", "replace")
        assert str(tmp_path) not in content, path.name
        assert "somebody" not in content, path.name
    text = (here / "run" / "report.html").read_text(encoding="utf-8")
    assert "graft train photos" in text
    assert weights.name in text
    # and the model, which has the weights, works wherever it is
    moved = tmp_path / "moved"
    (here / "run" / "model").rename(moved)
    weights.unlink()
    assert graftwork.load(moved).predict(sorted(data.rglob("*.png"))[:2])


def test_a_path_is_no_part_of_a_longer_one() -> None:
    run = example_run()
    settings = {**run.settings, "data": "/data", "test": "/home/data"}
    texts = ("see /data, /home/data/x.png and /data2", "`/data`: 3", "a/data")
    findings = tuple(dataclasses.replace(run.findings[0], because=text) for text in texts)
    shared = shareable(dataclasses.replace(run, settings=settings, findings=findings))
    assert [one.because for one in shared.findings] == ["see data, data/x.png and /data2", "`data`: 3", "a/data"]
