"""Images in tables: CSV, JSON lines, Parquet, and what Hugging Face's ``datasets`` saves."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from graftwork.core.options import DATA_DEFAULTS, IMAGE_COLUMNS, LABEL_COLUMNS, DataOptions
from graftwork.errors import DataError, UsageError, did_you_mean
from graftwork.images.folders import printable
from graftwork.images.imageset import Source
from graftwork.images.listing import Listing, duplicate_rows, few, kind_of, kind_of_file
from graftwork.images.sources import ArrowImages, Files, ParquetImages, arrow_table

SPLIT_COLUMNS = ("split", "part", "subset")
BESIDE_IMAGES = ("labels", "metadata")
"""Names of a table that is in a folder of images and describes them."""

Held = TypeVar("Held")


@dataclasses.dataclass(frozen=True)
class _Columns:
    """Which column is what."""

    image: str
    label: str | None
    split: str | None


def table_in(folder: Path, options: DataOptions = DATA_DEFAULTS) -> Path | None:
    """The table that names the images of a folder with their labels, if there is one."""
    for stem in BESIDE_IMAGES:
        for suffix in (".csv", ".tsv", ".jsonl"):
            path = folder / f"{stem}{suffix}"
            if path.is_file() and _is_label_table(path, options):
                return path
    return None


def _is_label_table(path: Path, options: DataOptions) -> bool:
    columns = _text_columns(path, first_row_only=True)
    return all(
        name in columns if name is not None else _pick(recognised, columns) is not None
        for name, recognised in ((options.image_column, IMAGE_COLUMNS), (options.label_column, LABEL_COLUMNS))
    )


def read_text_tables(paths: Sequence[Path], root: Path, options: DataOptions = DATA_DEFAULTS) -> Listing:
    """Images named by CSV, TSV or JSON lines files; each names files relative to itself.

    Several tables are in folders that are parts (``train/metadata.csv``, ``test/metadata.csv``).

    Raises
    ------
    DataError
        When a column is missing or files are.
    """
    tables = [_text_columns(path) for path in paths]
    columns = _roles(paths[0], list(tables[0]), options)
    joined: dict[str, list[str]] = {name: [] for name in tables[0]}
    kinds: list[str | None] = []
    for path, table in zip(paths, tables, strict=True):
        if list(table) != list(joined):
            raise DataError(
                f"{path} must have the columns of {paths[0]} ({', '.join(joined)}), but has {', '.join(table)}"
            )
        below = path.parent.relative_to(root).as_posix()
        table[columns.image] = [name if below == "." else f"{below}/{name}" for name in table[columns.image]]
        kinds += [kind_of(path.parent.name) if len(paths) > 1 else None] * len(table[columns.image])
        for name, values in table.items():
            joined[name] += values
    return _of_paths(paths[0], root, joined, columns, kinds)


def read_parquet(paths: Sequence[Path], root: Path, options: DataOptions = DATA_DEFAULTS) -> Listing:
    """Images in one or several Parquet files of one layout, as bytes or as paths.

    Raises
    ------
    DataError
        When a file or a column cannot be used.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(paths[0])
        columns = _roles(paths[0], schema.names, options, _features(schema))
        _require_small(paths[0], schema, columns)
        small = [field.name for field in schema if _is_small(field.type)]
        kind = schema.field(columns.image).type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            small.append(columns.image)
        tables = [pq.read_table(path, columns=sorted(set(small))) for path in paths]
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{paths[0]} must be a Parquet table of the same layout as the other files, but: {error}"
        ) from error
    table = _joined(tables, _label_names(_features(schema)))
    if columns.image in table:
        return _of_paths(paths[0], paths[0].parent, table, columns)
    counts = [len(t) for t in tables]
    return _of_bytes(paths, root, table, columns, counts, ParquetImages(paths, columns.image))


def read_saved_dataset(root: Path, options: DataOptions = DATA_DEFAULTS) -> Listing:
    """Read a folder written by ``save_to_disk``: one dataset, or one folder per split.

    Raises
    ------
    DataError
        When a part of it is missing or damaged.
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
        names = _from_json(state, lambda held: [str(entry["filename"]) for entry in held["_data_files"]])
        paths += [folder / name for name in names]
        kinds += [None if split is None else kind_of(split) or kind_of_file(split)] * len(names)
    if not paths:
        raise DataError(f"{root} must name at least one file of images, but names none; save the dataset again")
    tables = [arrow_table(path) for path in paths]
    info = paths[0].parent / "dataset_info.json"
    features = _features(tables[0].schema) or _from_json(info, lambda held: dict(held.get("features") or {}))
    columns = _roles(root, tables[0].column_names, options, features)
    _require_small(root, tables[0].schema, columns)
    small = [field.name for field in tables[0].schema if _is_small(field.type)]
    table = _joined([t.select(small) for t in tables], _label_names(features))
    return _of_bytes(paths, root, table, columns, [len(t) for t in tables], ArrowImages(paths, columns.image), kinds)


def _of_paths(
    table_path: Path,
    root: Path,
    table: Mapping[str, list[str]],
    columns: _Columns,
    kinds_of_rows: list[str | None] | None = None,
) -> Listing:
    """Images that a table names as files."""
    names = [printable(name) for name in table[columns.image]]
    paths = [_located(root, name) for name in table[columns.image]]
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing:
        raise DataError(
            f"every image that {table_path} names must exist relative to {root}, but {len(missing)} of {len(names)} "
            f"do not: {few(missing)}; correct the column `{columns.image}` or move the table next to the images"
        )
    labels, kinds = _labels_and_kinds(table_path, table, columns)
    if columns.split is None and kinds_of_rows is not None:
        kinds = kinds_of_rows
    return duplicate_rows(Listing(root, Files(paths), names, labels, kinds, _others(table, columns)))


def _of_bytes(
    paths: Sequence[Path],
    root: Path,
    table: Mapping[str, list[str]],
    columns: _Columns,
    counts: Sequence[int],
    source: Source,
    kinds_of_files: Sequence[str | None] | None = None,
) -> Listing:
    """Images whose bytes are in the table itself."""
    names = []
    for path, count in zip(paths, counts, strict=True):
        place = printable(path.relative_to(root).as_posix())
        names += [f"{place}#{row}" for row in range(count)]
    labels, kinds = _labels_and_kinds(paths[0], {**table, columns.image: names}, columns)
    if columns.split is None:
        file_kinds = kinds_of_files or [kind_of_file(path.stem) or kind_of(path.parent.name) for path in paths]
        if len(paths) > 1:
            kinds = [kind for kind, count in zip(file_kinds, counts, strict=True) for _ in range(count)]
    return Listing(root, source, names, labels, kinds, _others(table, columns))


def _labels_and_kinds(
    table_path: Path, table: Mapping[str, list[str]], columns: _Columns
) -> tuple[list[str | None], list[str | None]]:
    n = len(table[columns.image])
    if n == 0:
        raise DataError(f"{table_path} must list images, but has no row")
    labels: list[str | None] = [None] * n
    if columns.label:
        labels = [printable(label.strip()) or None for label in table[columns.label]]
    if not columns.split:
        return labels, [None] * n
    kind_of_word = {word: kind_of(word) for word in set(table[columns.split])}
    unknown = sorted(word for word, kind in kind_of_word.items() if kind is None)
    if unknown:
        raise DataError(
            f"the column `{columns.split}` of {table_path} must hold train, val or test, but holds {few(unknown)}: "
            "rename these, or the column"
        )
    return labels, [kind_of_word[word] for word in table[columns.split]]


def _others(table: Mapping[str, list[str]], columns: _Columns) -> dict[str, list[str]]:
    used = {columns.image, columns.label, columns.split}
    return {name: values for name, values in table.items() if name not in used}


def _located(root: Path, name: str) -> Path:
    path = root / name
    if "\\" in name and os.sep != "\\" and not path.is_file():  # a table written on Windows
        return root / name.replace("\\", "/")
    return path


def _text_columns(path: Path, first_row_only: bool = False) -> dict[str, list[str]]:
    """The columns of a CSV, TSV or JSON lines file, as text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = _json_lines(path, lines) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows(path, lines)
            header = next(iter(rows), [])
            columns: dict[str, list[str]] = {name.strip(): [] for name in header}
            for row in () if first_row_only else rows:
                if len(row) != len(columns):
                    raise DataError(f"{path} must have {len(columns)} cells per row, but one has {len(row)}: {row[:3]}")
                for values, cell in zip(columns.values(), row, strict=True):
                    values.append(cell)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise DataError(f"{path} must be a table in UTF-8, but: {error}; save it again as UTF-8 text") from error
    return columns


def _csv_rows(path: Path, lines: Any) -> Iterable[list[str]]:
    first = lines.readline()
    lines.seek(0)
    separator = max(",;\t", key=first.count)
    return (row for row in csv.reader(lines, delimiter=separator) if row)


def _json_lines(path: Path, lines: Iterable[str]) -> Iterable[list[str]]:
    header: list[str] = []
    for line in lines:
        if not line.strip():
            continue
        record = json.loads(line)
        if not isinstance(record, dict):
            shown = line.strip()[:40]
            raise DataError(f'{path} must hold one object per line, such as {{"image": "a.jpg"}}, but one is: {shown}')
        if not header:
            header = list(record)
            yield header
        yield [_text(record.get(name)) for name in header]


def _text(value: Any) -> str:
    """A cell as text; pandas stores whole numbers as floats, with NaN for the missing ones, once one is missing."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _pick(candidates: Iterable[str], columns: Iterable[str]) -> str | None:
    lowered = {name.lower(): name for name in columns}
    return next((lowered[name] for name in candidates if name in lowered), None)


def _roles(
    table_path: Path, names: Sequence[str], options: DataOptions, features: Mapping[str, Any] | None = None
) -> _Columns:
    """Which column holds the images, the labels, the split: as the user says, else as declared, else by its name."""
    for option, name in (("--image-column", options.image_column), ("--label-column", options.label_column)):
        if name is not None and name not in names:
            raise UsageError(
                f"{option} must name a column of {table_path}, but `{name}` is none{did_you_mean(name, names)}; "
                f"it has {', '.join(names)}"
            )
    declared = {name: kind.get("_type") for name, kind in (features or {}).items() if isinstance(kind, dict)}
    images = [name for name, kind in declared.items() if kind == "Image"]
    labels = [name for name, kind in declared.items() if kind == "ClassLabel"]
    image = options.image_column or (images[0] if len(images) == 1 else _pick(IMAGE_COLUMNS, names))
    if image is None:
        raise DataError(
            f"{table_path} must have a column with the images, named {few(IMAGE_COLUMNS, 5)}, "
            f"but has: {', '.join(names)}; rename one"
        )
    label = options.label_column or (labels[0] if len(labels) == 1 else _pick(LABEL_COLUMNS, names))
    return _Columns(image, label, _pick(SPLIT_COLUMNS, names))


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face's ``datasets`` declares about the columns of an Arrow or Parquet schema."""
    declared = (schema.metadata or {}).get(b"huggingface")
    try:
        return dict(json.loads(declared)["info"]["features"]) if declared else {}
    except (ValueError, KeyError, TypeError):  # written by something else: columns are recognised by name
        return {}


def _label_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    return {name: kind["names"] for name, kind in features.items() if isinstance(kind, dict) and kind.get("names")}


def _is_small(kind: Any) -> bool:
    """Whether a column can hold labels, groups or splits (and not images)."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _is_small(kind.value_type)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(text or number or pa.types.is_null(kind))


def _require_small(table_path: Path, schema: Any, columns: _Columns) -> None:
    for name in filter(None, (columns.label, columns.split)):
        kind = schema.field(name).type
        if not _is_small(kind):
            raise DataError(
                f"the column `{name}` of {table_path} must hold text or numbers, but holds {kind}: convert it"
            )


def _joined(tables: Sequence[Any], label_names: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The small columns of tables of one layout, one after the other, as text; class numbers as names."""
    joined: dict[str, list[str]] = {}
    for name in tables[0].column_names:
        values = [value for table in tables for value in table.column(name).to_pylist()]
        names = label_names.get(name)
        if names:
            values = [names[int(value)] if value is not None and value >= 0 else None for value in values]
        joined[name] = [_text(value) for value in values]
    return joined


def _from_json(path: Path, read: Callable[[Any], Held]) -> Held:
    """Return what ``read`` takes from a JSON file of ``save_to_disk``."""
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise DataError(
            f"{path} must exist and hold JSON as `save_to_disk` writes it, but: {reason}; save the dataset again"
        ) from error
