"""Which column of a table is what: the images, the labels, the split; and what its cells mean."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from graftwork.core.figures import counted
from graftwork.core.findings import Finding, finding
from graftwork.core.options import IMAGE_COLUMNS, LABEL_COLUMNS, DataOptions
from graftwork.errors import DataError, UsageError, did_you_mean
from graftwork.images.filekinds import SUFFIXES
from graftwork.images.listing import few
from graftwork.images.parts import kind_of

SPLIT_COLUMN = "split"
"""The column of this name must be the split."""
GROUP_COLUMN = "group"
"""The column of this name gives the groups where the user names no other."""
_LIKE_LABELS = re.compile("label|class|target|categ|species|breed|diagnos")
"""In the name of a column that is proposed as the labels."""
_MISSING = frozenset(("", "nan", "n/a", "#n/a", "<na>", "nat"))
"""What spreadsheets and pandas write where nothing is known."""
_MISSING_BUT_FOR_CLASSES = _MISSING | {"none", "na", "null"}
"""A class may be called `none` (no defect), `NA` or `null`; a group or a part may not."""
_WHOLE = re.compile(r"([-+]?\d+)\.0*")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)")

_PARTS = {"publictest": "val", "privatetest": "test"}
"""Cells that name a part as no folder does: of FER2013."""
_TRUE, _FALSE = frozenset(("1", "true", "yes", "t", "y")), frozenset(("0", "false", "no", "f", "n"))
_FLAGS = {"isvalid": "val", "isval": "val", "isvalidation": "val", "istest": "test", "istrain": "train"}
"""Columns of true and false, such as fastai's ``is_valid``, and what true means."""
_SURE = ("fold", "folds", "kfold", "partition", "datasplit", *_FLAGS)
"""Columns that are a split by their name, whatever they hold."""
_UNSURE = ("part", "subset", "set", "usage", "dataset", "phase", "traintest", "trainval")
"""Columns that are a split where one of their cells says so."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of any kind, all cells as text."""

    path: Path
    columns: Mapping[str, list[str]]
    places: Sequence[str]
    """Of each row, where it is: ``line 7``."""

    def __len__(self) -> int:
        return len(self.places)


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which column is what."""

    image: str
    label: str | None
    split: str | None
    further_labels: tuple[str, ...]
    """Other columns that are named like labels; none where the user says which one is meant."""


def column_named(name: str, columns: Iterable[str]) -> str | None:
    """The column of this name; where none is written so, the one that differs in case, spaces, - or _ alone."""
    names = list(columns)
    return name if name in names else {_key(other): other for other in reversed(names)}.get(_key(name))


def roles(path: Path, names: Sequence[str], options: DataOptions, features: Mapping[str, Any] | None = None) -> Roles:
    """Which column holds the images, the labels, the split: as the user says, else as declared, else by its name.

    Parameters
    ----------
    features
        What Hugging Face's ``datasets`` declares about the columns.

    Raises
    ------
    UsageError
        When an option names no column.
    DataError
        When no column holds the images.
    """
    declared = {name: kind.get("_type") for name, kind in (features or {}).items() if isinstance(kind, dict)}
    image = _role(path, names, "--image-column", options.image_column, IMAGE_COLUMNS, _of_type("Image", declared))
    label = _role(path, names, "--label-column", options.label_column, LABEL_COLUMNS, _of_type("ClassLabel", declared))
    if label is not None and label == image:
        raise UsageError(f"the images and the labels of {path} must be in two columns, but both are to be `{label}`")
    if image is None:
        if not names:
            raise DataError(f"{path} must list images, but is empty")
        if has_no_header(names):
            raise DataError(
                f"{path} has no header: its first line, {', '.join(names[:3])}, names an image; put a line such as "
                f"{IMAGE_COLUMNS[0]},{LABEL_COLUMNS[0]} before it"
            )
        raise DataError(
            f"{path} must have a column with the images, named {few(IMAGE_COLUMNS, 5)}, but has: {', '.join(names)}; "
            "name it with --image-column"
        )
    further = () if options.label_column else tuple(n for n in names if n not in (image, label) and _names_labels(n))
    return Roles(image, label, column_named(SPLIT_COLUMN, names), further)


def has_no_header(names: Iterable[str]) -> bool:
    """Whether the names of the columns are cells: one of them is the name of an image."""
    return any(PurePath(name).suffix.lower() in SUFFIXES for name in names)


def present(value: str) -> bool:
    """Whether the cell of a group or a split says something."""
    return value.strip().casefold() not in _MISSING_BUT_FOR_CLASSES


def labels_of(table: Table, column: str) -> list[str | None]:
    """The label of each row, None where the cell is empty or holds the word of a spreadsheet for that.

    Raises
    ------
    DataError
        When a cell holds a list.
    """
    labels: list[str | None] = []
    for i, value in enumerate(whole_numbers(table.columns[column])):
        if value.startswith(("[", "{")) and value.endswith(("]", "}")):
            raise DataError(several_labels(table.path, column, table.places[i], value))
        labels.append(None if value.casefold() in _MISSING else value)
    return labels


def several_labels(path: Path, column: str, place: str, cell: str) -> str:
    """What is wrong with a label that is a list or an object."""
    return (
        f"the column `{column}` of {path} must hold one label per image, but {place} holds {cell[:40]}: several labels "
        "of one image (multi-label) are not supported; keep one of them"
    )


def whole_numbers(cells: Sequence[str]) -> list[str]:
    """The cells without outer spaces; ``1.0`` is ``1`` where all numbers are whole (pandas, once a cell is missing)."""
    values = [cell.strip() for cell in cells]
    numbers = set(filter(_NUMBER.fullmatch, set(values)))
    if any(float(number) % 1 for number in numbers):
        return values
    whole = {number: match[1] for number in numbers if (match := _WHOLE.fullmatch(number))}
    return [whole.get(value, value) for value in values]


def split_of(table: Table, column: str, of_places: Sequence[str | None]) -> tuple[list[str | None], list[Finding]]:
    """``train``, ``val`` or ``test`` of each row, as the column called split says; an empty cell is none for the test.

    Parameters
    ----------
    of_places
        The part of each row by the place of its table, which holds where the cell is empty.

    Raises
    ------
    DataError
        When a cell says something else.
    """
    cells = table.columns[column]
    kind_of_cell = {cell: kind_of(cell) for cell in set(cells) if present(cell)}
    unknown = sorted(cell for cell, kind in kind_of_cell.items() if kind is None)
    if unknown:
        raise DataError(
            f"the column `{column}` of {table.path} must hold train, val or test, but holds {few(unknown)}: "
            "rename these, or the column"
        )
    kinds = [kind_of_cell.get(cell) or of_place for cell, of_place in zip(cells, of_places, strict=True)]
    empty = [i for i, kind in enumerate(kinds) if kind is None]
    if not empty or len(empty) == len(kinds):
        return kinds, []
    because = (
        f"in the column `{column}` of {table.path.name} {counted(len(empty), 'cell', 'is', of=len(cells))} empty, the "
        f"first in {table.places[empty[0]]}: these images are for training"
    )
    note = finding("G131", because, do="fill the cells if some are for the test", count=len(empty))
    return [kind or "train" for kind in kinds], [note]


def likely_split(table: Table) -> tuple[str | None, list[str | None], list[Finding]]:
    """The column of another name that clearly is a split, its parts, and what is to be said about such columns."""
    n = len(table)
    warnings = []
    for name in table.columns:
        key = _key(name)
        if key not in _SURE and key not in _UNSURE:
            continue
        cells = whole_numbers(table.columns[name])
        kinds = [_part(key, cell) for cell in cells]
        parts = set(kinds)
        if len(parts) > 1 and None not in parts and 2 * kinds.count("train") > n:
            counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("train", "val", "test") if kind in parts)
            because = f"the column `{name}` of {table.path.name} is taken as the split: {counts} images"
            do = "rename the column if it means something else"
            return name, kinds, [finding("G131", because, do=do, count=n)]
        if len(set(cells)) > 1 and (key in _SURE or parts != {None}):
            shown = few(sorted(cell or "nothing" for cell in set(cells)))
            because = f"the column `{name}` of {table.path.name} ({shown}) may say which images test, but is not used"
            do = f"name the column `{SPLIT_COLUMN}`, with train, val or test in every cell, if it is the split"
            warnings.append(finding("G130", because, do=do, count=n))
    return None, [None] * n, warnings


def without_labels(table: Table, image: str) -> Finding:
    """What to do about a table in which no column is recognised as the labels.

    Raises
    ------
    DataError
        When its columns look like one-hot labels.
    """
    known = {_key(name) for name in (image, SPLIT_COLUMN, GROUP_COLUMN, *_SURE, *_UNSURE)}
    cells = {name: values for name, values in table.columns.items() if _key(name) not in known}
    flags = {name: marks for name, values in cells.items() if (marks := _flags(values))}
    if len(flags) > 1 and all(sum(row) == 1 for row in zip(*flags.values(), strict=True)):
        raise DataError(
            f"{table.path} must have one column with the labels, but {_quoted(flags)} look like one-hot labels: add a "
            "column `label` with the name of the class (in pandas, idxmax(axis=1) of these columns)"
        )
    names = f"{table.path.name} has no column with a recognised name ({few(LABEL_COLUMNS, 6)})"
    if not cells:
        return finding("G132", f"{names}: the images have no labels", do="predict them", count=len(table))
    likely = min(cells, key=lambda name: (not _LIKE_LABELS.search(_key(name)), not _may_label(cells[name])))
    because = f"{names}, but {_quoted(cells)}: the images have no labels"
    if len(flags) > 1:
        because += f". {_quoted(flags)} hold true and false; several of them at once (multi-label) are not supported"
    return finding("G132", because, do=f"--label-column '{likely}', if that is the label", count=len(table))


def empty_labels(table: Table, label: str) -> Finding:
    """What to say of a column of labels that holds none."""
    because = f"the column `{label}` of {table.path.name} is empty: the images have no labels"
    return finding("G132", because, do="fill it, or name another with --label-column", count=len(table))


def second_label(table: Table, label: str, further: Sequence[str]) -> list[Finding]:
    """G136 where another column that is named like labels says something else than the first."""
    first = table.columns[label]
    second = [name for name in further if name in table.columns and not _renames(first, table.columns[name])]
    if not second:
        return []
    because = (
        f"{table.path.name} has labels in `{label}`, which are used, and in {_quoted(second)}; "
        "two labels of one image (multi-label) are not supported"
    )
    return [finding("G136", because, do=f"--label-column '{second[0]}' for the other", count=len(table))]


def _key(name: str) -> str:
    """What the names of columns are compared by: letters and digits, in any case."""
    return re.sub(r"[\W_]+", "", name).casefold() or name


def _quoted(names: Iterable[str]) -> str:
    return few([f"`{name}`" for name in names], 4)


def _flags(values: Sequence[str]) -> list[bool]:
    """Whether each cell is true, in a column of true and false; empty for any other column."""
    words = [value.casefold() for value in whole_numbers(values)]
    marks = [word in _TRUE for word in words]
    return marks if 0 < sum(marks) < len(marks) and set(words) <= _TRUE | _FALSE | {"-1"} else []


def _names_labels(name: str) -> bool:
    """Whether a column is named like labels, numbered or not."""
    return re.sub(r"\d+$", "", _key(name)) in {_key(word) for word in LABEL_COLUMNS}


def _role(
    path: Path,
    names: Sequence[str],
    option: str,
    given: str | None,
    recognised: Sequence[str],
    declared: Sequence[str],
) -> str | None:
    if given is not None:
        name = column_named(given, names)
        if name is None:
            raise UsageError(
                f"{option} must name a column of {path}, but `{given}` is none{did_you_mean(given, names)}; it has "
                f"{', '.join(names)}"
            )
        return name
    if len(declared) == 1:
        return declared[0]
    return next((name for word in recognised if (name := column_named(word, names)) is not None), None)


def _of_type(kind: str, declared: Mapping[str, Any]) -> list[str]:
    return [name for name, type_ in declared.items() if type_ == kind]


def _part(key: str, cell: str) -> str | None:
    """The part that a cell of a column names; None where it names none."""
    word = cell.casefold()
    if key not in _FLAGS:
        return kind_of(cell) or _PARTS.get(_key(cell))
    other = "test" if _FLAGS[key] == "train" else "train"
    return _FLAGS[key] if word in _TRUE else other if word in _FALSE else None


def _may_label(values: Sequence[str]) -> bool:
    """Whether a column could hold classes: several values, most of them more than once."""
    return 1 < len(set(values)) <= len(values) / 2


def _renames(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two columns are the same up to the names of their values."""
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))
