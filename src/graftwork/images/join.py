"""Two image sets become one whose second half is the test part."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from graftwork.errors import DataError, UsageError
from graftwork.images.columns import column_named
from graftwork.images.imageset import ImageSet
from graftwork.images.listing import with_near_names
from graftwork.images.sources import Source


class _Concatenated(Source):
    """The rows of one source, then those of another."""

    def __init__(self, first: Source, second: Source, offset: int) -> None:
        self._first, self._second, self._offset = first, second, offset

    def read(self, row: int) -> bytes:
        source, own = self._place(row)
        return source.read(own)

    def digest(self, row: int) -> str:
        source, own = self._place(row)
        return source.digest(own)

    def _place(self, row: int) -> tuple[Source, int]:
        return (self._first, row) if row < self._offset else (self._second, row - self._offset)


def with_test_part(images: ImageSet, test: ImageSet) -> ImageSet:
    """Images to develop on and a test part from elsewhere, as one set; classes are matched by name.

    The test images' names begin with the name of their folder.

    Raises
    ------
    UsageError
        When ``images`` came with a test part of its own.
    DataError
        When the test part has no labels, or a class that ``images`` has not.
    """
    if images.parts is not None:
        raise UsageError(
            f"{images.root} comes with a test part of its own: leave out `--test FOLDER`, "
            "or give the training part alone"
        )
    if not test.classes:
        raise DataError(
            f"the images of the test part {test.table or test.root} must have labels, but have none; label them, or "
            "take a share of the other images (`--test 0.2`)"
        )
    unknown = set(test.classes) - set(images.classes)
    if unknown:
        raise DataError(
            f"every class of the test part {test.root} must have images to learn from, but "
            f"{with_near_names(unknown, images.classes)} is not among the {len(images.classes)} classes of "
            f"{images.root}: correct the name or remove the class"
        )
    number = np.array([images.classes.index(name) for name in test.classes], np.int64)
    offset = int(images.rows.max()) + 1
    joined = dataclasses.replace(
        images,
        names=(*images.names, *_fresh_names(images, test)),
        labels=np.concatenate([images.labels, number[test.labels]]),
        source=_Concatenated(images.source, test.source, offset),
        rows=np.concatenate([images.rows, test.rows + offset]),
        parts=np.array(["develop"] * len(images) + ["test"] * len(test), np.str_),
        columns=_columns(images, test),
        notes=(*images.notes, *test.notes),
    )
    if "digests" in images.__dict__ and "digests" in test.__dict__:
        joined.__dict__["digests"] = np.concatenate([images.digests, test.digests])
    return joined


def _fresh_names(images: ImageSet, test: ImageSet) -> list[str]:
    prefix, taken = test.root.name or "test", set(images.names)
    while any(f"{prefix}/{name}" in taken for name in test.names):
        prefix = f"test-{prefix}"
    return [f"{prefix}/{name}" for name in test.names]


def _columns(images: ImageSet, test: ImageSet) -> dict[str, NDArray[np.str_]]:
    """The columns of either, matched by name; the cells of a column that one of them has not are empty there."""
    columns = {}
    for name in dict.fromkeys((*images.columns, *test.columns)):
        other = column_named(name, test.columns)
        if name in images.columns or column_named(name, images.columns) is None:
            of_images = images.columns.get(name, np.full(len(images), "", np.str_))
            of_test = np.full(len(test), "", np.str_) if other is None else test.columns[other]
            columns[name] = np.concatenate([of_images, of_test])
    return columns
