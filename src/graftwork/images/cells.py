"""The cells of CSV, TSV and JSON lines files as columns of text, with the line that each row begins in.

What spreadsheets leave behind and what cannot be meant otherwise is read: Excel's ``sep=;`` line, columns without a
name, empty rows, empty cells behind the last column. All else is refused with its line.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from graftwork.errors import DataError

JSON_LINES = (".jsonl", ".ndjson")
TEXT_TABLES = (".csv", ".tsv", *JSON_LINES)
SEPARATORS = ",;\t"
_EXCEL = re.compile(r"(?i)sep=(.)\s*")
"""The first line by which Excel knows the separator."""


@dataclasses.dataclass(frozen=True)
class TextTable:
    """A table as its file holds it."""

    path: Path
    columns: dict[str, list[str]]
    """Cells of each named column, as they are written."""
    lines: list[int]
    """Of each row, its line in the file, counted from 1."""


def read_text_table(path: Path) -> TextTable:
    """The columns of a CSV, TSV or JSON lines file.

    Raises
    ------
    DataError
        When the file is not UTF-8, a row has too few or too many cells, or a line of JSON is no object.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return (_from_json_lines if path.suffix.lower() in JSON_LINES else _from_csv)(path, file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} must be a table in UTF-8, but: {error}; save it again as UTF-8 text") from error


def as_text(value: Any) -> str:
    """A cell as text; pandas stores whole numbers as floats, with NaN for the missing ones, once one is missing."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _from_csv(path: Path, file: TextIO) -> TextTable:
    first = file.readline()
    excel = _EXCEL.fullmatch(first)
    if not excel:
        file.seek(0)
    likely = "\t" if path.suffix.lower() == ".tsv" and "\t" in first else max(SEPARATORS, key=first.count)
    rows = _csv_rows(file, excel[1] if excel else likely, skipped=1 if excel else 0)
    _, header = next(rows, (1, []))
    names = [name.strip() for name in header]
    width = max((i + 1 for i, name in enumerate(names) if name), default=0)
    lines: list[int] = []
    cells: list[list[str]] = []
    for line, row in rows:
        if len(row) < width or any(cell.strip() for cell in row[len(names) :]):
            raise DataError(
                f"every row of {path} must have as many cells as its header, {width}, but line {line} has {len(row)}: "
                f"{', '.join(row[:3])}; correct it (quote a cell that holds the separator)"
            )
        lines.append(line)
        cells.append(row)
    columns: dict[str, list[str]] = {}
    for i, name in enumerate(names):
        values = [row[i] for row in cells] if name else []
        if name and columns.get(name) != values:
            columns[_another(name, columns)] = values
    return TextTable(path, columns, lines)


def _csv_rows(file: TextIO, separator: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """The line in which each row ends, and its cells; empty rows are passed over."""
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
    return ((reader.line_num + skipped, row) for row in reader if any(cell.strip() for cell in row))


def _another(name: str, columns: Mapping[str, Sequence[str]]) -> str:
    """The name of a column, numbered where another column has it, as pandas does."""
    return next(free for free in (name, *(f"{name}.{i}" for i in range(1, len(columns) + 1))) if free not in columns)


def _from_json_lines(path: Path, file: Iterable[str]) -> TextTable:
    lines, records = [], []
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path} must hold one JSON object per line, but line {line} is none: {error}") from error
        if not isinstance(record, dict):
            raise DataError(
                f'{path} must hold one object per line, such as {{"image": "a.jpg"}}, but line {line} is: '
                f"{text.strip()[:40]}"
            )
        lines.append(line)
        records.append({name.strip(): value for name, value in record.items()})
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [as_text(record.get(name)) for record in records] for name in names}
    return TextTable(path, columns, lines)
