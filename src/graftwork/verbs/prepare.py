"""Images become a division to develop and to test on: read, looked at, checked, split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.rules import Finding
from graftwork.core.splits import Split, make_split
from graftwork.errors import DataError, UsageError
from graftwork.files import cache_folder
from graftwork.images.check import Problems, check
from graftwork.images.imageset import ImageSet, hash_images
from graftwork.images.join import with_test_part
from graftwork.images.look import Looks, look_at
from graftwork.images.read import read_images
from graftwork.runfolder import read_run
from graftwork.verbs.listener import Listener

Ints = NDArray[np.integer]
Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Usable images, and on which side each of them stands."""

    images: ImageSet
    """Every image that can be read and has one label."""
    looks: Looks
    """What was measured on each of them."""
    findings: tuple[Finding, ...]
    groups: Ints
    """(n,) what stays on one side: told groups, and copies exact or near."""
    split: Split
