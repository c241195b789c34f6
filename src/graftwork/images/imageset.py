"""The image set: names, labels and where the bytes are. Nothing here decodes a pixel."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.findings import Finding
from graftwork.errors import DataError
from graftwork.images.decoding import prefetched
from graftwork.images.sources import Source
from graftwork.listener import SILENT, Listener

UNLABELLED = -1


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled (or unlabelled) images that have not been opened yet.

    Classes are names; a label is only this set's index into them, so two sets are matched by name.
    """

    names: tuple[str, ...]
    """Path relative to ``root`` with forward slashes, or ``table.parquet#row``; unique."""
    labels: NDArray[np.int64]
    """(n,) index into ``classes``; -1 where unlabelled."""
    classes: tuple[str, ...]
    """Sorted names."""
    root: Path
    source: Source = dataclasses.field(repr=False)
    rows: NDArray[np.int64] = dataclasses.field(repr=False)
    """(n,) each image's row in ``source``."""
    groups: NDArray[np.str_] | None = None
    """(n,) images that belong together (one patient, one track), as the user says."""
    parts: NDArray[np.str_] | None = None
    """(n,) ``develop`` or ``test``, where the data came split."""
    columns: Mapping[str, NDArray[np.str_]] = dataclasses.field(default_factory=dict, repr=False)
    """Further columns of the table the images came from; a group may be one of them."""
    table: Path | None = None
    """The table that names the images, or the first of several; None where folders do."""
    notes: tuple[Finding, ...] = ()
    """Findings of reading."""

    @property
    def to_separate_classes(self) -> str:
        """What to do where images are not of several classes: advice for a message."""
        return f"correct the labels in {self.table.name}" if self.table else "put each class in a folder of its own"

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> bytes:
        """The undecoded bytes of image ``index``; raises DataError that names it."""
        return self.source.read(int(self.rows[index]))

    def take(self, indices: NDArray[np.integer] | Sequence[int]) -> ImageSet:
        """The images at ``indices``, in that order; the classes stay all of them."""
        index = np.asarray(indices, dtype=np.int64)
        taken = dataclasses.replace(
            self,
            names=tuple(self.names[i] for i in index),
            labels=self.labels[index],
            rows=self.rows[index],
            groups=None if self.groups is None else self.groups[index],
            parts=None if self.parts is None else self.parts[index],
            columns={name: values[index] for name, values in self.columns.items()},
        )
        if "digests" in self.__dict__:  # known: not hashed twice
            taken.__dict__["digests"] = self.digests[index]
        return taken

    def without_empty_classes(self) -> ImageSet:
        """The same images; classes that none of them has are no classes."""
        present = np.unique(self.labels[self.labels >= 0])
        number = np.full(len(self.classes) + 1, UNLABELLED)  # the last entry is that of -1
        number[present] = np.arange(len(present))
        renumbered = dataclasses.replace(
            self, labels=number[self.labels], classes=tuple(self.classes[label] for label in present)
        )
        if "digests" in self.__dict__:  # known: not hashed twice
            renumbered.__dict__["digests"] = self.digests
        return renumbered

    @functools.cached_property
    def digests(self) -> NDArray[np.str_]:
        """(n,) sha256 of each image's bytes, as hexadecimal digits."""
        return hash_images(self)


def hash_images(images: ImageSet, listener: Listener = SILENT, threads: int = 2) -> NDArray[np.str_]:
    """(n,) sha256 of each image's bytes; remembered, so that ``images.digests`` costs nothing afterwards.

    An image whose bytes cannot be read gets a digest made from its name; measuring it says why.
    """
    if "digests" in images.__dict__:
        return images.digests

    def digest(index: int) -> str:
        try:
            return images.source.digest(int(images.rows[index]))
        except DataError:
            return hashlib.sha256(f"no bytes: {images.names[index]}".encode()).hexdigest()

    digests = np.empty(len(images), dtype="<U64")
    for index, value in enumerate(prefetched(digest, range(len(images)), threads=threads, ahead=64)):
        digests[index] = value
        listener.progress(index + 1, len(images))
    images.__dict__["digests"] = digests
    return digests
