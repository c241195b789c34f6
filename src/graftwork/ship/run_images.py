"""The images that a run was made of, as far as they are still where they were."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np

from graftwork.core.options import DataOptions, SplitOptions
from graftwork.core.record import Run
from graftwork.errors import DataError, GraftError
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import decode
from graftwork.images.read import read_images
from graftwork.images.thumbnail import thumbnail


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

    def some(self, most: int) -> list[bytes]:
        """Return the bytes of at most ``most`` images, spread over all; those that are not at hand are left out."""
        images = []
        for row in np.unique(np.linspace(0, len(self.run.images.names) - 1, most).round().astype(int)):
            try:
                images.append(self.read(int(row)))
            except GraftError:
                continue
        return images

    def develop(self) -> ImageSet:
        """Return the images that the run developed on, in the order of its record.

        Raises
        ------
        DataError
            When they are not where they were, or are others.
        """
        table, rows = self.run.images, self.run.develop
        develop = self._images.take([self._place[table.names[row]] for row in rows if table.names[row] in self._place])
        equal = [table.digests[row] for row in rows] == [str(digest) for digest in develop.digests]
        if len(develop) < len(rows) or not equal:
            raise DataError(
                f"{self.run.settings['data']} must hold the {len(rows)} images that the run was developed on, since 8 "
                "bits are calibrated on them, but some are missing or others now; put them back"
            )
        return develop

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
