"""``read_images``: any of the ways in which people keep labelled images becomes an image set."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.figures import counted
from graftwork.core.findings import finding
from graftwork.core.options import DATA_DEFAULTS, SERIES, DataOptions
from graftwork.errors import DataError, UsageError, did_you_mean
from graftwork.images import folders, tables
from graftwork.images.cells import TEXT_TABLES, read_text_table
from graftwork.images.columns import GROUP_COLUMN, column_named, present, whole_numbers
from graftwork.images.filekinds import ARCHIVES, SUFFIXES
from graftwork.images.imageset import ImageSet
from graftwork.images.join import with_test_part
from graftwork.images.listing import Listing, few, finish
from graftwork.images.parts import kind_of
from graftwork.images.sources import Files

__all__ = ["ImageSet", "from_paths", "read_images", "with_groups"]


def read_images(path: str | Path, options: DataOptions = DATA_DEFAULTS, *, test: str | Path | None = None) -> ImageSet:
    """The images of a folder, a table or a saved dataset; none is opened.

    Parameters
    ----------
    path
        A folder (one folder per class; folders of these, named like ``train`` and ``test``; a flat pile; images next
        to a ``labels.csv``; Parquet files; a dataset written by ``save_to_disk``), a CSV, JSON lines or Parquet
        table, or one image.
    options
        Which columns and folders say what; the same for ``test``.
    test
        A folder or table whose images become the test part.

    Raises
    ------
    DataError
        When there is nothing to read, or what there is does not fit together.
    UsageError
        When an option does not fit the data, such as a ``group_by`` that is neither a column nor a pattern that finds
        groups.
    """
    listings = [_listing(Path(place), options) for place in (path, test) if place is not None]
    _require_use(options, listings)
    images, *test_part = map(finish, listings)
    if test_part:
        images = with_test_part(images, *test_part)
    # after the join: a group may have images in both parts
    group_by = None if by_series(images, options) else options.group_by
    return with_groups(images, group_by) if group_by else _with_recognised_groups(images)


def _with_recognised_groups(images: ImageSet) -> ImageSet:
    column = column_named(GROUP_COLUMN, images.columns)
    return with_groups(images, column) if column and any(column_groups(images.columns[column])) else images


def by_series(images: ImageSet, options: DataOptions) -> bool:
    """Whether likely series are to be the groups; their pixels tell them, and nothing that is read here."""
    return options.group_by == SERIES and column_named(SERIES, images.columns) is None


def from_paths(paths: Sequence[str | Path]) -> ImageSet:
    """Unlabelled images from a list of files, in that order.

    Raises
    ------
    DataError
        When one of them does not exist, or is a folder.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            raise DataError(f"every path must be one image, but {path} is a folder; give the paths of its images")
        if not path.is_file():
            raise DataError(f"every image must exist, but {path} does not: correct the path")
        files.append(path)
    names = [folders.printable(path.as_posix()) for path in files]
    nothing: list[str | None] = [None] * len(files)
    return finish(Listing(Path(), Files(files), names, nothing, list(nothing)))


def with_groups(images: ImageSet, group_by: str) -> ImageSet:
    """The same images with groups from a column of their table, or from the first capture of their names.

    An image whose cell is empty, or whose name the pattern does not match, is a group of its own; these are counted.

    Raises
    ------
    UsageError
        When ``group_by`` is neither a column nor a pattern with a capture, or finds no group.
    """
    column = column_named(group_by, images.columns)
    groups = _captures(images, group_by) if column is None else column_groups(images.columns[column])
    if not any(groups):
        raise UsageError(
            f"--group-by must find groups, but the column `{column}` is empty"
            if column
            else f"--group-by must match the images' names, but `{group_by}` matches none of {len(images)}, "
            f"such as {few(images.names, 2)}"
        )
    lone = [name for name, group in zip(images.names, groups, strict=True) if group is None]
    notes = images.notes
    if lone:
        where = f"the column `{column}` is empty" if column else f"`{group_by}` does not match their names"
        because = f"{counted(len(lone), 'image', 'has', of=len(images))} no group ({where}); each is a group of its own"
        notes = (*notes, finding("G133", because, examples=lone))
    return dataclasses.replace(images, groups=with_lone_images(groups, images.names), notes=notes)


def column_groups(cells: Iterable[str]) -> list[str | None]:
    """The group that each cell of a column names; None where it is empty or says that nothing is known."""
    return [cell if present(cell) else None for cell in whole_numbers([str(cell) for cell in cells])]


def with_lone_images(groups: Sequence[str | None], names: Sequence[str]) -> NDArray[np.str_]:
    """(n,) groups, where an image without one is a group of its own, called as the image."""
    return np.array([name if group is None else group for group, name in zip(groups, names, strict=True)], np.str_)


def _captures(images: ImageSet, group_by: str) -> list[str | None]:
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise UsageError(f"--group-by must be a column or a regular expression, but `{group_by}`: {error}") from error
    if not pattern.groups:
        near = did_you_mean(group_by, images.columns)
        columns = f", or one of the columns {', '.join(images.columns)}" if images.columns else ""
        raise UsageError(
            f"--group-by needs a pattern with one capture, such as '^(\\d+)_'{columns}; got `{group_by}`{near}"
        )
    return [first_capture(pattern, name) for name in images.names]


def first_capture(pattern: re.Pattern[str], name: str) -> str | None:
    """The first capture, looked for in the file's name and then, for patterns about folders, in the whole path."""
    match = pattern.search(name.rsplit("/", 1)[-1]) or pattern.search(name)
    return match[1] if match else None


def _require_use(options: DataOptions, listings: Sequence[Listing]) -> None:
    """Refuse an option that fits none of what was read."""
    by_table = [listing.table is not None for listing in listings]
    where = listings[0].table or listings[0].root
    for option, value, of_table in (
        ("--image-column", options.image_column, True),
        ("--label-column", options.label_column, True),
        ("--label-level", options.label_level, False),
    ):
        if value is not None and of_table not in by_table:
            fits = "names a column of a table" if of_table else "counts folders"
            actual = "a table" if by_table[0] else "folders"
            raise UsageError(f"{option} {fits}, but the labels of {where} are in {actual}; leave it out")


def _listing(path: Path, options: DataOptions) -> Listing:
    if path.is_dir():
        return _folder(path, options)
    if not path.exists():
        raise DataError(f"{path} must be a folder of images or a table, but does not exist: correct the path")
    suffix = path.suffix.lower()
    if suffix in TEXT_TABLES:
        return tables.read_text_tables([read_text_table(path)], path.parent, options)
    if suffix in tables.PARQUET:
        return tables.read_parquet([path], path.parent, options)
    if suffix in SUFFIXES:
        return Listing(path.parent, Files([path]), [folders.printable(path.name)], [None], [None])
    if suffix in ARCHIVES:
        tool = "zipfile" if suffix == ".zip" else "tarfile"
        raise DataError(f"{path} is an archive: unpack it first (`python -m {tool} -e {path.name} FOLDER`)")
    raise DataError(f"{path} must be a folder, a .csv, .jsonl or .parquet table or an image: give one of these")


def _folder(path: Path, options: DataOptions) -> Listing:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return tables.read_saved_dataset(path, options)
    subfolders = sorted(folder for folder in path.iterdir() if folder.is_dir() and kind_of(folder.name))
    beside = [table for place in (path, *subfolders) if (table := tables.table_beside_images(place, options))]
    beside = [table for table in beside if table.path.parent == path] or beside
    if any(tables.has_labels(table, options) for table in beside) and options.label_level is None:
        return tables.read_text_tables(beside, path, options, beside_images=True)
    listed = folders.walk(path)
    parquet = [path.joinpath(*place) for place in listed.others if place[-1].lower().endswith(".parquet")]
    if parquet and not listed.images:
        return tables.read_parquet(sorted(parquet), path, options)
    listing = folders.read_folder(path, listed, label_level=options.label_level)
    if beside and not any(listing.labels):  # the folders say nothing: the table is what was meant
        return tables.read_text_tables(beside, path, options, beside_images=True)
    return listing
