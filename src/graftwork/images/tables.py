"""Images in tables: CSV, JSON lines, Parquet, and what Hugging Face's ``datasets`` saves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from graftwork.core.figures import counted
from graftwork.core.findings import Finding, finding
from graftwork.core.options import DATA_DEFAULTS, IMAGE_COLUMNS, LABEL_COLUMNS, DataOptions
from graftwork.errors import DataError
from graftwork.images.cells import TEXT_TABLES, TextTable, as_text, read_text_table
from graftwork.images.columns import (
    Roles,
    Table,
    column_named,
    empty_labels,
    has_no_header,
    labels_of,
    likely_split,
    roles,
    second_label,
    several_labels,
    split_of,
    without_labels,
)
from graftwork.images.filekinds import SUFFIXES
from graftwork.images.folders import printable, walk
from graftwork.images.labels import label_findings
from graftwork.images.listing import Listing, duplicate_rows, few
from graftwork.images.parts import kind_of, kind_of_file
from graftwork.images.sources import ArrowImages, Files, ParquetImages, Source, arrow_table

PARQUET = (".parquet", ".pq")
"""Suffixes of Parquet files."""
BESIDE_IMAGES = ("labels", "metadata")
"""Names of a table that is in a folder of images and describes them."""

Held = TypeVar("Held")
_MISTAKES: tuple[tuple[str, Callable[[Path, Path], bool]], ...] = (
    ("the folder differs", lambda file, path: file.name == path.name),
    ("the names lack their suffix", lambda file, path: file.stem == path.name and file.suffix.lower() in SUFFIXES),
    ("leading zeros are lost", lambda file, path: _unpadded(file) == _unpadded(path)),
    ("upper and lower case differ", lambda file, path: file.name.casefold() == path.name.casefold()),
    ("the suffix differs", lambda file, path: file.stem == path.stem and file.suffix.lower() in SUFFIXES),
)
"""How the name of an existing file may differ from the one that a table gives."""


def table_beside_images(folder: Path, options: DataOptions = DATA_DEFAULTS) -> TextTable | None:
    """The table in a folder that names the images of the folder, if there is one.

    Raises
    ------
    DataError
        When it cannot be read.
    """
    for stem in BESIDE_IMAGES:
        for suffix in TEXT_TABLES:
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                table = read_text_table(path)
                names = any(column_named(name, table.columns) for name in IMAGE_COLUMNS)
                if names or options.image_column or has_no_header(table.columns):
                    return table
    return None


def has_labels(table: TextTable, options: DataOptions = DATA_DEFAULTS) -> bool:
    """Whether a table has a column of labels, or must have it by the options."""
    return bool(options.label_column) or any(column_named(name, table.columns) for name in LABEL_COLUMNS)


def read_text_tables(
    tables: Sequence[TextTable], root: Path, options: DataOptions = DATA_DEFAULTS, *, beside_images: bool = False
) -> Listing:
    """Images named by CSV, TSV or JSON lines files; each names files relative to itself.

    Several tables are in folders that are parts (``train/metadata.csv``, ``test/metadata.csv``); their columns are
    matched by name.

    Parameters
    ----------
    beside_images
        Whether the tables describe the images below ``root``, so that those that they do not name are counted.

    Raises
    ------
    DataError
        When a column is missing or files are.
    UsageError
        When an option names no column.
    """
    first = roles(tables[0].path, list(tables[0].columns), options)
    n = sum(len(table.lines) for table in tables)
    columns: dict[str, list[str]] = {name: [""] * n for name in tables[0].columns}
    kinds: list[str | None] = []
    places: list[str] = []
    for table in tables:
        image = roles(table.path, list(table.columns), options).image
        for name, cells in table.columns.items():
            common = first.image if name == image else column_named(name, columns) or name
            values = [_below(root, table.path, cell) for cell in cells] if name == image else cells
            columns.setdefault(common, [""] * n)[len(places) : len(places) + len(values)] = values
        kinds += [kind_of(table.path.parent.name) if len(tables) > 1 else None] * len(table.lines)
        where = f"{table.path.relative_to(root).as_posix()}, " if len(tables) > 1 else ""
        places += [f"{where}line {line}" for line in table.lines]
    merged = Table(tables[0].path, columns, places)
    # the columns of all tables: labels may be missing in the first
    listing = _of_paths(root, merged, roles(merged.path, list(columns), options), kinds)
    if beside_images:
        listing.notes += _unnamed(root, listing.names, tables)
    return listing


def images_named(path: Path, image_column: str | None = None) -> list[Path]:
    """The files that a CSV, TSV or JSON lines table names, row by row; its other columns are not read.

    Raises
    ------
    DataError
        When the column of images is missing or files are, or the table is of another kind.
    UsageError
        When ``image_column`` is no column.
    """
    if path.suffix.lower() in PARQUET:
        raise DataError(
            f"{path} must be CSV or JSON lines to be predicted, but is Parquet: write its paths as CSV, or its "
            "images as files"
        )
    table = read_text_table(path)
    columns = roles(path, list(table.columns), DataOptions(image_column=image_column))
    places = [f"line {line}" for line in table.lines]
    return [path.parent / name for name in _names(path.parent, Table(path, table.columns, places), columns.image)]


def _below(root: Path, table_path: Path, name: str) -> str:
    """The path of an image from the root, which a table names from its own folder."""
    below = table_path.parent.relative_to(root).as_posix()
    return name if below == "." else f"{below}/{name.strip()}"


def _unnamed(root: Path, names: Sequence[str], tables: Sequence[TextTable]) -> list[Finding]:
    """Images below the root that no table names."""
    below = ["/".join(place) for place in walk(root).images]
    named = set(names)
    unnamed = [name for place in below if (name := printable(place)) not in named]
    if not unnamed:
        return []
    because = (
        f"{counted(len(unnamed), 'image', 'is', of=len(below))} below {root}, but not named in "
        f"{few([table.path.relative_to(root).as_posix() for table in tables])}: left out"
    )
    return [finding("G123", because, do="add rows for them, or predict them later", examples=unnamed)]


def read_parquet(paths: Sequence[Path], root: Path, options: DataOptions = DATA_DEFAULTS) -> Listing:
    """Images in one or several Parquet files of one layout, as bytes or as paths.

    Raises
    ------
    DataError
        When a file or a column cannot be used.
    UsageError
        When an option names no column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(paths[0])
        columns = roles(paths[0], schema.names, options, _features(schema))
        _require_cells(paths[0], schema, columns)
        names = [field.name for field in schema if _is_cell(field.type)]
        kind = schema.field(columns.image).type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            names.append(columns.image)
        tables = [pq.read_table(path, columns=sorted(set(names))) for path in paths]
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{paths[0]} must be a Parquet table of the same layout as the other files, but: {error}"
        ) from error
    table = _joined(tables, _label_names(_features(schema)))
    if columns.image in table:
        places = [f"row {row}" for row in range(len(table[columns.image]))]
        return _of_paths(paths[0].parent, Table(paths[0], table, places), columns)
    counts = [len(t) for t in tables]
    return _of_bytes(paths, root, table, columns, counts, ParquetImages(paths, columns.image))


def read_saved_dataset(root: Path, options: DataOptions = DATA_DEFAULTS) -> Listing:
    """Read a folder written by ``save_to_disk``: one dataset, or one folder per split.

    Raises
    ------
    DataError
        When a part of it is missing or damaged.
    UsageError
        When an option names no column.
    """
    index = root / "dataset_dict.json"
    splits = _from_json(index, lambda held: [str(name) for name in held["splits"]]) if index.is_file() else [None]
    paths: list[Path] = []
    kinds: list[str | None] = []
    for split in splits:
        folder = root if split is None else root / split
        state = folder / "state.json"
        if _from_json(state, lambda held: held.get("_indices_files")):
            raise DataError(f"{folder} must be saved flat: call `flatten_indices()` before `save_to_disk`")
        files = _from_json(state, lambda held: [str(entry["filename"]) for entry in held["_data_files"]])
        paths += [folder / name for name in files]
        kinds += [None if split is None else kind_of(split) or kind_of_file(split)] * len(files)
    if not paths:
        raise DataError(f"{root} must name at least one file of images, but names none; save the dataset again")
    tables = [arrow_table(path) for path in paths]
    info = paths[0].parent / "dataset_info.json"
    features = _features(tables[0].schema) or _from_json(info, lambda held: dict(held.get("features") or {}))
    columns = roles(root, tables[0].column_names, options, features)
    _require_cells(root, tables[0].schema, columns)
    names = [field.name for field in tables[0].schema if _is_cell(field.type)]
    table = _joined([t.select(names) for t in tables], _label_names(features))
    return _of_bytes(paths, root, table, columns, [len(t) for t in tables], ArrowImages(paths, columns.image), kinds)


def _of_paths(root: Path, table: Table, columns: Roles, kinds_of_rows: list[str | None] | None = None) -> Listing:
    """Images that a table names as files."""
    names = _names(root, table, columns.image)
    paths = [root / name for name in names]
    # of the root, and one name for one file
    names = [
        printable(os.path.normpath(os.path.relpath(name, root) if os.path.isabs(name) else name)) for name in names
    ]
    return duplicate_rows(_listing(root, Files(paths), names, table, columns, kinds_of_rows))


def _names(root: Path, table: Table, column: str) -> list[str]:
    """The file of each row, from the root; raises DataError where a row names none."""
    cells = table.columns[column]
    nameless = [i for i, cell in enumerate(cells) if not cell.strip()]
    if nameless:
        raise DataError(
            f"every row of {table.path} must name an image in the column `{column}`, but {len(nameless)} of "
            f"{len(cells)} do not, the first in {table.places[nameless[0]]}: fill them, or remove the rows"
        )
    names = [_located(root, cell) for cell in cells]
    missing = [i for i, name in enumerate(names) if name is None]
    if missing:
        raise DataError(
            f"every image that {table.path} names must exist relative to {root}, but {len(missing)} of {len(cells)} "
            f"do not: {few([printable(cells[i].strip()) for i in missing])}; the first is in {table.places[missing[0]]}"
            f": {_way_out(root, cells[missing[0]].strip(), column)}"
        )
    return [name for name in names if name is not None]


def _of_bytes(
    paths: Sequence[Path],
    root: Path,
    columns_of_text: Mapping[str, list[str]],
    columns: Roles,
    counts: Sequence[int],
    source: Source,
    kinds_of_files: Sequence[str | None] | None = None,
) -> Listing:
    """Images whose bytes are in the table itself."""
    names = []
    for path, count in zip(paths, counts, strict=True):
        place = printable(path.relative_to(root).as_posix())
        names += [f"{place}#{row}" for row in range(count)]
    kinds = None
    if len(paths) > 1:
        file_kinds = kinds_of_files or [kind_of_file(path.stem) or kind_of(path.parent.name) for path in paths]
        kinds = [kind for kind, count in zip(file_kinds, counts, strict=True) for _ in range(count)]
    return _listing(root, source, names, Table(paths[0], columns_of_text, names), columns, kinds)


def _listing(
    root: Path, source: Source, names: list[str], table: Table, columns: Roles, kinds_of_rows: list[str | None] | None
) -> Listing:
    """The images of a table with their labels and parts; a column of parts goes before the place of the table."""
    n = len(table)
    if n == 0:
        raise DataError(f"{table.path} must list images, but has no row")
    notes: list[Finding] = []
    split, kinds = columns.split, kinds_of_rows or [None] * n
    if split is not None:
        kinds, notes = split_of(table, split, kinds)
    elif not any(kinds):
        split, kinds, notes = likely_split(table)
    labels: list[str | None] = [None] * n
    if columns.label is None:
        notes.append(without_labels(table, columns.image))
    else:
        labels = [label and printable(label) for label in labels_of(table, columns.label)]
        given = [label for label in labels if label is not None]
        notes += label_findings(given) if given else [empty_labels(table, columns.label)]
        notes += second_label(table, columns.label, columns.further_labels)
    used = {columns.image, columns.label, split}
    others = {name: values for name, values in table.columns.items() if name not in used}
    return Listing(root, source, names, labels, kinds, others, table=table.path, notes=notes)


def _located(root: Path, cell: str) -> str | None:
    """The name of the file that a cell names: as it is written, without outer spaces, or as Windows writes paths."""
    name = cell.strip()
    spellings = [cell, name] if os.sep == "\\" else [cell, name, name.replace("\\", "/")]
    return next((spelling for spelling in spellings if os.path.isfile(os.path.join(root, spelling))), None)


def _way_out(root: Path, name: str, column: str) -> str:
    """What is probably wrong with the name of a file that does not exist, and what to do."""
    path = root / name
    for folder in (path.parent, *sorted(entry for entry in root.iterdir() if entry.is_dir())):
        files = sorted(entry for entry in folder.iterdir() if entry.is_file()) if folder.is_dir() else []
        for what, matches in _MISTAKES:
            for file in files:
                if matches(file, path):
                    place = Path(os.path.relpath(file, root)).as_posix()
                    return f"{what}, the file may be {place}; correct the column `{column}`"
    return f"correct the column `{column}` or move the table next to the images"


def _unpadded(path: Path) -> tuple[str, str]:
    return path.stem.lstrip("0"), path.suffix


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face's ``datasets`` declares about the columns of an Arrow or Parquet schema."""
    declared = (schema.metadata or {}).get(b"huggingface")
    try:
        return dict(json.loads(declared)["info"]["features"]) if declared else {}
    except (ValueError, KeyError, TypeError):  # written by something else: columns are recognised by name
        return {}


def _label_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    return {name: kind["names"] for name, kind in features.items() if isinstance(kind, dict) and kind.get("names")}


def _is_cell(kind: Any) -> bool:
    """Whether a column can hold labels, groups or splits (and not images)."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _is_cell(kind.value_type)
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    return bool(text or number or _is_time(kind) or types.is_null(kind))


def _is_time(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind))


def _require_cells(table_path: Path, schema: Any, columns: Roles) -> None:
    import pyarrow as pa

    for name in filter(None, (columns.label, columns.split)):
        kind = schema.field(name).type
        if _is_cell(kind):
            continue
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            raise DataError(several_labels(table_path, name, "every row", str(kind)))
        raise DataError(f"the column `{name}` of {table_path} must hold text or numbers, but holds {kind}: convert it")


def _joined(tables: Sequence[Any], label_names: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The small columns of tables of one layout, one after the other, as text; class numbers as names."""
    joined: dict[str, list[str]] = {}
    for name in tables[0].column_names:
        values = [value for table in tables for value in _values(table.column(name))]
        names = label_names.get(name)
        if names:
            values = [names[int(value)] if value is not None and value >= 0 else None for value in values]
        joined[name] = [as_text(value) for value in values]
    return joined


def _values(column: Any) -> list[Any]:
    """The values of an Arrow column; times as text, since Python has no nanoseconds."""
    import pyarrow as pa

    return list((column.cast(pa.string()) if _is_time(column.type) else column).to_pylist())


def _from_json(path: Path, read: Callable[[Any], Held]) -> Held:
    """Return what ``read`` takes from a JSON file of ``save_to_disk``."""
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise DataError(
            f"{path} must exist and hold JSON as `save_to_disk` writes it, but: {reason}; save the dataset again"
        ) from error
