"""Which of the images that a run was trained on are nearest to a code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from graftwork.core.arrays import Floats
from graftwork.model.novelty import Novelty, reference_rows
from graftwork.runfolder import RUN, read_run
from graftwork.ship.run_images import RunImages


@dataclasses.dataclass(frozen=True)
class TrainingImage:
    """An image that a model was trained on, and how near it is."""

    name: str
    label: str
    similarity: float
    """Cosine of the codes of both images; 1 for equal codes."""
    thumbnail: bytes | None = dataclasses.field(default=None, repr=False)
    """JPEG; None where neither the run's folder has one nor the image itself is at hand."""


class NearestImages:
    """The training images of a run in the space of its codes."""

    def __init__(self, images: RunImages, novelty: Novelty) -> None:
        self._images = images
        self._novelty = novelty
        run = images.run
        self._rows = run.develop[reference_rows(len(run.develop), run.seed)]

    def of(self, code: Floats, k: int) -> tuple[TrainingImage, ...]:
        """Return the ``k`` training images nearest to a code (d,), the nearest first."""
        table = self._images.run.images
        near = self._novelty.nearest(code, np.arange(len(self._rows)), k)
        return tuple(
            TrainingImage(table.names[row], table.labels[row], similarity, self._images.thumbnail(int(row)))
            for row, similarity in ((self._rows[reference], similarity) for reference, similarity in near)
        )


def nearest_images(folder: Path, novelty: Novelty | None) -> NearestImages | str:
    """Return what finds the training images nearest to a code; in words why there is none, where there is none.

    Parameters
    ----------
    folder
        A run's folder, or a model folder alone.
    """
    if novelty is None:
        return "nearest training images: not known, for a fine-tuned network's folder has no codes of them"
    if not (folder / RUN).is_file():
        return f"nearest training images: not known, for {folder} is a model without its run; give the run's folder"
    return NearestImages(RunImages(read_run(folder)), novelty)
