"""What is wrong with images, found before any training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from graftwork.core.arguments import argument
from graftwork.core.figures import counted
from graftwork.core.findings import Finding, findings_in_short
from graftwork.core.options import DataOptions, InputPx
from graftwork.core.shown import Fact, Shown
from graftwork.images.listing import few
from graftwork.listener import Listener
from graftwork.progress import Stages
from graftwork.steps.prepare import INPUT_PX, check_images

_CLASSES = 8
"""Number of classes that are shown at a prompt."""


@dataclasses.dataclass(frozen=True, repr=False)
class CheckResult(Shown):
    """Counts of the images, and findings about them."""

    images: int
    """Number of images that can be used."""
    per_class: dict[str, int]
    per_part: dict[str, int]
    """Images to develop and to test on, where the data came split."""
    findings: tuple[Finding, ...]

    def _facts(self) -> tuple[Fact, ...]:
        classes = few([f"{name} {images}" for name, images in self.per_class.items()], shown=_CLASSES) or "none"
        parts = [Fact("parts", few([f"{name} {images}" for name, images in self.per_part.items()]))]
        return (
            Fact("", counted(self.images, "image")),
            Fact("classes", classes),
            *(parts if self.per_part else ()),
            Fact("findings", findings_in_short(self.findings)),
        )


def check(
    data: str | Path,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    label_level: int | None = None,
    group_by: str | None = None,
    input_px: int = INPUT_PX,
    listener: Listener | None = None,
) -> CheckResult:
    """Find unreadable files, duplicates, leaks, likely groups and odd images.

    Parameters
    ----------
    image_column, label_column, label_level, group_by
        As in ``train``.
    input_px
        Side of the network's input; images are tiny or huge relative to it.

    Raises
    ------
    DataError, UsageError
        When there is nothing to read, or an argument does not fit the data.

    Examples
    --------
    >>> check("photos").per_class
    {'ant': 15, 'bee': 15, 'cat': 15}
    """
    options = DataOptions(
        image_column=image_column, label_column=label_column, label_level=label_level, group_by=group_by
    )
    input_px = argument("input_px", input_px, InputPx)
    stages = Stages(listener)
    with stages.stage("images"):
        checked = check_images(data, options, input_px=input_px, listener=stages.listener)
    images = checked.images
    count = np.bincount(images.labels[images.labels >= 0], minlength=len(images.classes))
    parts = {} if images.parts is None else {p: int((images.parts == p).sum()) for p in ("develop", "test")}
    return CheckResult(len(images), dict(zip(images.classes, map(int, count), strict=True)), parts, checked.findings)
