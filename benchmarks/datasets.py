"""The real data sets of ``../shared``, unpacked once into a temporary folder."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

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
    if name == "tiny-imagenet":
        return _some_of_tiny_imagenet(UNPACKED / "tiny-imagenet.parquet")
    table = SHARED / "datasets" / f"{name}.parquet"
    if table.exists():
        return table
    folder = UNPACKED / name
    if not folder.exists():
        UNPACKED.mkdir(exist_ok=True)
        with tarfile.open(SHARED / "datasets" / f"{name}.tar") as archive:
            archive.extractall(UNPACKED, filter="data")
    return folder


def _some_of_tiny_imagenet(path: Path) -> Path:
    """Write 150 images of every tenth class: more would train for hours, and fewer would not be a large set."""
    if not path.exists():
        table = pq.read_table(SHARED / "tiny-imagenet" / "train-0.parquet")
        labels = table["label"].to_numpy()
        rows = np.concatenate([np.flatnonzero(labels == label)[:150] for label in np.unique(labels)[::10]])
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table.take(np.sort(rows)), path)
    return path
