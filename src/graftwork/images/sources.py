"""Where the bytes of images are: files, Parquet tables, Arrow tables. Memory is bounded for any size."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from graftwork.errors import DataError
from graftwork.files import sha256_of


class Source(Protocol):
    """Where the bytes of images are; ``row`` is the source's own numbering."""

    def read(self, row: int) -> bytes:
        """The undecoded bytes of one image.

        Raises
        ------
        DataError
            When they cannot be read; the message names the image.
        """
        ...

    def digest(self, row: int) -> str:
        """Sha256 of the bytes of one image, as 64 hexadecimal digits; raises DataError as ``read`` does."""
        return hashlib.sha256(self.read(row)).hexdigest()


class Files(Source):
    """One file per image."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def read(self, row: int) -> bytes:
        """The file's bytes; raises DataError that names it."""
        return _file_bytes(self.paths[row])

    def digest(self, row: int) -> str:
        """Sha256 of the file's bytes; an unchanged file is not read again."""
        with _named(self.paths[row]):
            return sha256_of(self.paths[row])


class ParquetImages(Source):
    """Images in a column of Parquet files: bytes, or a struct of ``bytes`` and ``path``.

    Rows are streamed in file order and cached; the oldest is evicted first, within ``budget_mb``. A row group that
    is small against the budget is cached as a whole, so that any order of rows is fast; one that is not (a table
    written as a single row group) is fast in rising order only.
    """

    def __init__(self, files: Sequence[Path], column: str, budget_mb: float = 128) -> None:
        import pyarrow.parquet as pq

        self._files = tuple(files)
        self._column = column
        self._budget = int(budget_mb * 2**20)
        self._first: list[int] = []  # of each row group, the first row; and its file, number and bytes
        self._place: list[tuple[int, int, int]] = []
        row = 0
        for number, path in enumerate(self._files):
            metadata = pq.read_metadata(path)
            for group in range(metadata.num_row_groups):
                self._first.append(row)
                self._place.append((number, group, metadata.row_group(group).total_byte_size))
                row += metadata.row_group(group).num_rows
        self._cached: OrderedDict[int, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._stream: Iterator[tuple[int, bytes | None, str | None]] = iter(())
        self._next = (-1, -1)  # row group of the stream, and the row it would give next
        self._lock = threading.Lock()

    def read(self, row: int) -> bytes:
        """The bytes of one row; raises DataError that names file and row."""
        with self._lock:
            if row not in self._cached:
                self._advance(row)
            self._cached.move_to_end(row)
            return self._cached[row]

    def _advance(self, row: int) -> None:
        group = int(np.searchsorted(self._first, row, side="right")) - 1
        if self._next[0] != group or self._next[1] > row:
            self._stream = self._rows(group)
        small = self._place[group][2] * 4 <= self._budget
        for number, data, path in self._stream:
            self._next = (group, number + 1)
            if data is None and path is not None:
                data = _file_bytes(self._files[self._place[group][0]].parent / path)
            self._cache(number, data or b"", requested=row)
            if number == row and not small:
                break
        if row not in self._cached:
            raise DataError(f"{self._files[self._place[group][0]]} ended before row {row}: copy the file again")

    def _cache(self, number: int, data: bytes, requested: int) -> None:
        if number in self._cached:
            return
        self._cached[number] = data
        self._cached_bytes += len(data)
        while self._cached_bytes > self._budget and len(self._cached) > 1:
            oldest = next(iter(self._cached))
            if oldest == requested:
                break
            self._cached_bytes -= len(self._cached.pop(oldest))

    def _rows(self, group: int) -> Iterator[tuple[int, bytes | None, str | None]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number, inside, _ = self._place[group]
        row = self._first[group]
        try:
            # buffered and not fetched ahead: a column chunk of gigabytes then passes through page by page
            with pq.ParquetFile(self._files[number], pre_buffer=False, buffer_size=1 << 20) as table:
                batches = table.iter_batches(64, row_groups=[inside], columns=[self._column], use_threads=False)
                for batch in batches:
                    for value in batch.column(0):
                        yield row, *_bytes_or_path(value)
                        row += 1
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self._files[number]} cannot be read at row {row}: {error}") from error


class ArrowImages(Source):
    """Images in a column of Arrow stream files (a saved Hugging Face dataset), mapped into memory."""

    def __init__(self, files: Sequence[Path], column: str) -> None:
        self._files = tuple(files)
        self._columns = [arrow_table(path).column(column) for path in self._files]
        self._starts = np.cumsum([0, *(len(column) for column in self._columns)])

    def read(self, row: int) -> bytes:
        """The bytes of one row; raises DataError that names file and row."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        data, path = _bytes_or_path(self._columns[number][row - int(self._starts[number])])
        if data is None and path is not None:
            return _file_bytes(self._files[number].parent / path)
        return data or b""


def arrow_table(path: Path) -> Any:
    """The table of an Arrow stream file, mapped into memory and not read; raises DataError."""
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a readable Arrow stream: {error}; save the dataset again") from error


def _bytes_or_path(value: Any) -> tuple[bytes | None, str | None]:
    """A cell that is bytes, or Hugging Face's struct of bytes and path."""
    held = value.as_py()
    if isinstance(held, dict):
        return held.get("bytes"), held.get("path")
    return held, None


def _file_bytes(path: Path) -> bytes:
    with _named(path):
        return path.read_bytes()


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte in it
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {why}") from error
