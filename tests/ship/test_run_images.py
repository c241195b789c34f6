"""A run's images are found where they were, and an image that was put in another one's place is not taken for it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork.errors import DataError
from graftwork.listener import SILENT
from graftwork.runfolder import read_run
from graftwork.ship.run_images import RunImages
from graftwork.testing import write_tiny_images

pytestmark = pytest.mark.xdist_group("export")


def images_of(run: Path, data: Path) -> RunImages:
    """Those of a run whose data have moved."""
    record = json.loads((run / "run.json").read_text())
    record["settings"]["data"] = str(data)
    (run / "run.json").write_text(json.dumps(record))
    return RunImages(read_run(run))


def another() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((70, 70, 3), 7, np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_images_of_a_run_are_those_that_it_had(small_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(small_run, tmp_path / "run")
    data = shutil.copytree(small_run.parent / "insects", tmp_path / "insects")
    images = images_of(run, data)
    assert len(images.some(32)) == 32
    assert [str(digest) for digest in images.develop().digests] == [
        images.run.images.digests[row] for row in images.run.develop
    ]
    for path in sorted(data.rglob("*.png"))[1:]:
        path.write_bytes(another())
    changed = images_of(run, data)
    assert len(changed.some(32)) == 1
    with pytest.raises(DataError, match="images that the run was developed on"):
        changed.develop()
    shutil.rmtree(data)
    gone = images_of(run, data)
    assert gone.some(32) == []
    with pytest.raises(DataError, match="must be where they were"):
        gone.develop()


def test_images_to_develop_on_are_found_beside_a_test_part_of_their_own(small_backbone: Path, tmp_path: Path) -> None:
    photos = write_tiny_images(tmp_path / "insects", per_class=8, size_px=70)
    tests = write_tiny_images(tmp_path / "later", per_class=3, size_px=70, seed=1)
    run = graftwork.train(
        photos, test=tests, output=tmp_path / "run", backbone=small_backbone, strategy="linear", layer="last",
        listener=SILENT,
    )  # fmt: skip
    images = RunImages(read_run(Path(run.folder)))
    assert len(images.develop()) == 24
    assert len(images.some(100)) == 33
