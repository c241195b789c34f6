"""Networks trained on real images are published, served by Python's own web server, and built upon elsewhere."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import graftwork
from graftwork import zoo
from graftwork.steps import compete

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("zoo on real sets")]
PER_CLASS = 40


def part_of(shared: Path, name: str, folder: Path) -> Path:
    """Some images of each class of a real set, as class folders."""
    with tarfile.open(shared / "datasets" / f"{name}.tar") as archive:
        archive.extractall(folder / "whole", filter="data")
    taken: dict[str, int] = {}
    for path in sorted((folder / "whole").rglob("*.jpg")):
        label = path.parent.name
        if taken.get(label, 0) < PER_CLASS:
            taken[label] = taken.get(label, 0) + 1
            target = folder / "some" / label / f"{taken[label]:03}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    return folder / "some"


@pytest.mark.parametrize("kind", ["linear", "full"])
def test_what_was_trained_on_one_set_is_a_backbone_for_another(
    kind: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ants = part_of(shared, "hymenoptera", tmp_path / "ants")
    settings = {"backbone": "efficientnet_lite0", "input_px": 64, "folds": 2, "loss": "softmax"}
    if kind == "linear":
        run = graftwork.train(ants, output=tmp_path / "run", strategy="linear", **settings)
    else:
        choose = compete.choose

        def tuned(trials, *rest, **named):  # type: ignore[no-untyped-def]
            kinds = [(t.candidate.plan.kind, t.ended, t.candidate.views) for t in trials]
            return dataclasses.replace(choose(trials, *rest, **named), chosen=kinds.index(("full", "completed", 1)))

        monkeypatch.setattr(compete, "choose", tuned)
        run = graftwork.train(ants, output=tmp_path / "run", epochs=2, time_limit=None, exhaustive=True, **settings)
        monkeypatch.setattr(compete, "choose", choose)
    zoo.publish(run.folder, tmp_path / "published", name="insects")
    command = [
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--directory",
        str(tmp_path / "published"),
    ]
    environment = {
        **os.environ, "GRAFTWORK_HOME": str(tmp_path / "clean home"), "GRAFTWORK_CACHE": str(tmp_path / "clean cache"),
    }  # fmt: skip
    cats = part_of(shared, "dogcat", tmp_path / "cats")

    def graft(*words: str) -> str:
        typed = [sys.executable, "-m", "graftwork.cli", *words]
        done = subprocess.run(typed, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            address = re.search(r"http://[\d.:]+", server.stdout.readline())
            assert address is not None
            assert "insects" in graft("zoo", "list", "--from", address[0])
            graft("zoo", "pull", "insects", "--from", address[0])
        finally:
            server.terminate()
    assert "Apache-2.0" in graft("zoo", "verify", "insects")
    said = graft("train", str(cats), "--backbone", "insects", "--strategy", "linear", "-o", "of-cats", "--quiet")
    assert "accuracy" in said
    assert graftwork.load(tmp_path / "of-cats").classes
