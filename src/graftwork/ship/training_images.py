"""The images of a run: which of those that it was trained on are nearest to a code, and the bytes of each."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np

from graftwork.core.arrays import Floats
from graftwork.core.options import DataOptions, SplitOptions
from graftwork.core.record import Run
from graftwork.errors import DataError, GraftError
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import decode
from graftwork.images.read import read_images
from graftwork.images.thumbnail import thumbnail
from graftwork.model.novelty import Novelty, reference_rows
from graftwork.runfolder import RUN, read_run


@dataclasses.dataclass(frozen=True)
class TrainingImage:
    """An image that a model was trained on, and how near it is."""

    name: str
    label: str
    similarity: float
    """Cosine of the codes of both images; 1 for equal codes."""
    thumbnail: bytes | None = dataclasses.field(default=None, repr=False)
    """JPEG; None where neither the run's folder has one nor the image itself is at hand."""


class RunImages:
    """The images of a run's table, as far as they are at hand: thumbnails in its folder, and the data themselves."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def read(self, row: int) -> bytes:
        """Return the bytes of an image.

        Raises
        ------
        DataError
            When the image is not where it was, or is another one now.
        """
        name = self.run.images.names[row]
        if name not in self._place:
            raise DataError(f"{name} must be in {self.run.settings['data']}, as when the run was trained; put it back")
        data = self._images.read(self._place[name])
        if hashlib.sha256(data).hexdigest() != self.run.images.digests[row]:
            raise DataError(f"{name} must be the image that the run was trained with, but has changed; put it back")
        return data

    def require(self) -> None:
        """Raise DataError unless the folder or table that the run was trained on can be listed."""
        _ = self._images  # listed when it is first used

    def thumbnail(self, row: int) -> bytes | None:
        """Return a JPEG of an image, None where neither thumbnail nor image is at hand."""
        path = Path(self.run.folder) / "thumbnails" / f"{self.run.images.digests[row]}.jpg"
        if path.is_file():
            return path.read_bytes()
        try:
            return thumbnail(decode(self.read(row), self.run.card.preprocess, self.run.images.names[row]))
        except GraftError:
            return None

    @functools.cached_property
    def _images(self) -> ImageSet:
        settings = self.run.settings
        options = DataOptions(**{field.name: settings[field.name] for field in dataclasses.fields(DataOptions)})
        _, test = SplitOptions(test=settings["test"]).test_part
        try:
            return read_images(settings["data"], options, test=test)
        except GraftError as error:
            raise DataError(
                f"the images of the run must be where they were when it was trained, but {error}"
            ) from error

    @functools.cached_property
    def _place(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self._images.names)}


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
