"""``read_images``: any of the ways in which people keep labelled images becomes an image set."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graftwork.errors import DataError, UsageError
from graftwork.images import folders, tables
from graftwork.images.imageset import ImageSet
from graftwork.images.listing import Listing, few, finish, kind_of
from graftwork.images.sources import Files

__all__ = ["ImageSet", "from_paths", "read_images", "with_groups"]

_TEXT_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")


def read_images(path: str | Path, group_by: str | None = None) -> ImageSet:
    """The images of a folder, a table or a saved dataset; none is opened.

    Parameters
    ----------
    path
        A folder (one folder per class; ``train``, ``val``, ``test`` folders of these; a flat pile; images next to a
        ``labels.csv``; Parquet files; a dataset written by ``save_to_disk``), a CSV, JSON lines or Parquet table,
        or one image.
    group_by
        A column of the table, or a regular expression whose first capture in the image's name is its group.

    Raises
    ------
    DataError
        When there is nothing to read, or what there is does not fit together.
    UsageError
        When ``group_by`` is neither a column nor a pattern that finds groups.
    """
    images = finish(_listing(Path(path)))
    return images if group_by is None else with_groups(images, group_by)


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

    An image whose name the pattern does not match is a group of its own.

    Raises
    ------
    UsageError
        When ``group_by`` is neither a column nor a pattern with a capture, or matches no name.
    """
    if group_by in images.columns:
        return dataclasses.replace(images, groups=images.columns[group_by])
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise UsageError(f"--group-by must be a column or a regular expression, but `{group_by}`: {error}") from error
    if not pattern.groups:
        columns = f" or one of the columns {', '.join(images.columns)}" if images.columns else ""
        raise UsageError(f"--group-by needs a pattern with one capture, such as '^(\\d+)_'{columns}; got `{group_by}`")
    groups = [first_capture(pattern, name) for name in images.names]
    if not any(group is not None for group in groups):
        raise UsageError(
            f"--group-by must match the images' names, but `{group_by}` matches none of {len(images)}, "
            f"such as {few(images.names, 2)}"
        )
    alone = [name if group is None else group for group, name in zip(groups, images.names, strict=True)]
    return dataclasses.replace(images, groups=np.array(alone, np.str_))


def first_capture(pattern: re.Pattern[str], name: str) -> str | None:
    """The first capture, looked for in the file's name and then, for patterns about folders, in the whole path."""
    match = pattern.search(name.rsplit("/", 1)[-1]) or pattern.search(name)
    return match[1] if match else None


def _listing(path: Path) -> Listing:
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise DataError(f"{path} must be a folder of images or a table, but does not exist: correct the path")
    suffix = path.suffix.lower()
    if suffix in _TEXT_TABLES:
        return tables.read_text_tables([path], path.parent)
    if suffix in (".parquet", ".pq"):
        return tables.read_parquet([path], path.parent)
    if suffix in folders.SUFFIXES:
        return Listing(path.parent, Files([path]), [folders.printable(path.name)], [None], [None])
    if suffix in folders.ARCHIVES:
        tool = "zipfile" if suffix == ".zip" else "tarfile"
        raise DataError(f"{path} is an archive: unpack it first (`python -m {tool} -e {path.name} FOLDER`)")
    raise DataError(f"{path} must be a folder, a .csv, .jsonl or .parquet table or an image: give one of these")


def _folder(path: Path) -> Listing:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return tables.read_saved_dataset(path)
    subfolders = sorted(folder for folder in path.iterdir() if folder.is_dir() and kind_of(folder.name))
    for places in ([path], subfolders):
        listings = [table for place in places if (table := tables.table_in(place))]
        if listings:
            return tables.read_text_tables(listings, path)
    listed = folders.walk(path)
    parquet = [path.joinpath(*place) for place in listed.others if place[-1].lower().endswith(".parquet")]
    if parquet and not listed.images:
        return tables.read_parquet(sorted(parquet), path)
    return folders.read_folder(path, listed)
