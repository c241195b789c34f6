"""The real data sets of ``../shared``, unpacked once into a temporary folder."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

from graftwork.verbs.demo import write_digits

SHARED = Path(__file__).resolve().parents[2] / "shared"
UNPACKED = Path(tempfile.gettempdir()) / "graftwork-datasets"

GROUPS = {"xray": "patient", "cells": r"(BloodImage_\d+)", "pacs-sketch": r"^(\d+)", "gtsrb": "track"}
"""How the images of a set are grouped (``--group-by``), where the set says so."""

SETS = ("cells", "dogcat", "digits", "hymenoptera", "neu-steel", "pacs-sketch", "rsscn7", "trashnet", "xray")


def path_of(name: str) -> Path:
    """Return a folder or table that ``read_images`` takes."""
    if name == "digits":
        return write_digits(UNPACKED / "digits")
    table = SHARED / "datasets" / f"{name}.parquet"
    if table.exists():
        return table
    folder = UNPACKED / name
    if not folder.exists():
        UNPACKED.mkdir(exist_ok=True)
        with tarfile.open(SHARED / "datasets" / f"{name}.tar") as archive:
            archive.extractall(UNPACKED, filter="data")
    return folder
