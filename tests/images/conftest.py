"""The real sets unpacked once a session, and small folders made on the spot."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from pictures import paint, write

TARS = ("cells", "dogcat", "hymenoptera", "neu-steel", "pacs-sketch", "rsscn7", "trashnet", "xray")


@pytest.fixture(scope="session")
def sets(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the real image folders."""
    folder = tmp_path_factory.mktemp("sets")
    for name in TARS:
        with tarfile.open(shared / "datasets" / f"{name}.tar") as archive:
            archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two classes with four images each."""
    for number, name in enumerate(("cat", "dog")):
        for i in range(4):
            write(tmp_path / "data" / name / f"{i}.jpg", paint(10 * number + i))
    return tmp_path / "data"
