"""A small model to serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import graftwork
from graftwork.testing import write_tiny_backbone, write_tiny_images

pytest.importorskip("fastapi", reason="needs graftwork[serve]")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_images(tmp_path_factory.mktemp("served") / "insects", per_class=15, size_px=48)


@pytest.fixture(scope="session")
def folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a run, which no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        place = tmp_path_factory.mktemp("served-runs") / "insects"
        backbone = write_tiny_backbone(tmp_path_factory.mktemp("served-network"))
        settings = {"strategy": "linear", "backbone": str(backbone), "loss": "softmax", "layer": "blocks.1"}
        graftwork.train(photos, output=place, **settings)
        yield place


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """Where the model answers; images are flagged when they are beyond 19 of 20 training images."""
    shown = {"show_training_images": True, "explain": True}
    with graftwork.serve(folder, port=0, novelty_rate=0.05, max_upload_mb=1, **shown) as service:
        yield service.url
