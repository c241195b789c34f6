"""The real data sets of ``../shared``, unpacked once into a folder of one's own."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import numpy as np

from graftwork.images.imageset import ImageSet
from graftwork.images.read import read_images
from graftwork.verbs.demo import write_digits

SHARED = Path(__file__).resolve().parents[2] / "shared"
UNPACKED = Path(tempfile.gettempdir()) / "graftwork-datasets"

GROUPS = {"xray": "patient", "cells": r"(BloodImage_\d+)", "pacs-sketch": r"^(\d+)", "gtsrb": "track"}
"""What must stay together, where the set says so."""

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


def images_of(name: str, *, grouped: bool = True) -> ImageSet:
    """Return all images of a set as one pool, with its groups."""
    return read_images(path_of(name), GROUPS.get(name) if grouped else None)


def group_numbers(images: ImageSet) -> np.ndarray:
    """(n,) numbers of the told groups, or one each."""
    if images.groups is None:
        return np.arange(len(images))
    return np.unique(images.groups, return_inverse=True)[1]
