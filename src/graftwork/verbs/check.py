"""What is wrong with images, found before any training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from graftwork.core.rules import Finding
from graftwork.verbs.listener import Listener, Stages
from graftwork.verbs.prepare import INPUT_PX, look_and_check


@dataclasses.dataclass(frozen=True)
class Checked:
    """What came in, and what was found."""

    images: int
    """That can be used."""
    per_class: dict[str, int]
    per_part: dict[str, int]
    """Images to develop and to test on, where the data came split."""
    findings: tuple[Finding, ...]


def check(
    data: str | Path, *, group_by: str | None = None, input_px: int = INPUT_PX, listener: Listener | None = None
) -> Checked:
    """Find unreadable files, duplicates, leaks, likely groups and odd images.

    Parameters
    ----------
    input_px
        Side of the network's input, against which images are tiny or huge.

    Raises
    ------
    DataError
        When there is nothing to read.
    """
    stages = Stages(listener or Listener())
    with stages.stage("images"):
        looked = look_and_check(data, group_by=group_by, input_px=input_px, listener=stages.listener)
    images = looked.images
    count = np.bincount(images.labels[images.labels >= 0], minlength=len(images.classes))
    parts = {} if images.parts is None else {p: int((images.parts == p).sum()) for p in ("develop", "test")}
    return Checked(len(images), dict(zip(images.classes, map(int, count), strict=True)), parts, looked.findings)
