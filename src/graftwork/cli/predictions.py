"""Predictions as a table or as JSON lines, on standard output or in a file."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import cattrs

from graftwork.cli.show import must_escape
from graftwork.errors import UsageError
from graftwork.files import whole_file
from graftwork.model.predict import Prediction

_COLUMNS = ("image", "label", "probability", "novel", "p_value")
_BYTE_ORDER_MARK = "\ufeff"
"""By which spreadsheet programs recognise UTF-8."""


def form_of(output: Path | None, form: str | None, *, overwrite: bool) -> str:
    """Return ``csv`` or ``jsonl``, as asked for or as the name of the file says.

    Raises
    ------
    UsageError
        When the file has another suffix, or exists and is not to be replaced.
    """
    if output is None:
        return form or "csv"
    if output.exists() and not overwrite:
        raise UsageError(f"-o must be a new file, but {output} exists; give another, or --overwrite")
    suffix = output.suffix.lower().lstrip(".")
    if suffix not in ("csv", "jsonl") or form not in (None, suffix):
        raise UsageError(f"-o must end in .csv or .jsonl, as --format says, got {output.name}; name the file so")
    return suffix


def write_predictions(
    predictions: Iterable[Prediction], form: str, top: int, *, classes: Sequence[str], output: Path | None, bom: bool
) -> None:
    """Write predictions as they come; a file is there whole or not at all.

    Parameters
    ----------
    top
        Classes that each prediction names at most.
    classes
        Classes that have a column each, in place of the ``top`` ones; empty where these are wanted.
    bom
        Begin a table with a byte order mark.
    """
    if output is None:
        _write(predictions, form, top, classes, sys.stdout, bom, escape=must_escape())
        return
    with whole_file(output) as part, part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        _write(predictions, form, top, classes, file, bom, escape=False)


def _write(
    predictions: Iterable[Prediction],
    form: str,
    top: int,
    classes: Sequence[str],
    file: TextIO,
    bom: bool,
    *,
    escape: bool,
) -> None:
    if bom and form == "csv":
        file.write(_BYTE_ORDER_MARK)
    if form == "jsonl":
        for prediction in predictions:
            print(json.dumps(cattrs.unstructure(prediction), ensure_ascii=escape), file=file, flush=True)
        return
    writer = csv.writer(file, lineterminator="\n")
    if not classes:
        rows = iter(predictions)
        first = next(rows, None)
        named = top if first is None else len(first.top)  # there may be fewer classes
        writer.writerow([*_COLUMNS, *(f"{kind}_{i}" for i in range(2, named + 1) for kind in ("label", "probability"))])
        for p in itertools.chain(() if first is None else (first,), rows):
            further = [cell for label, probability in p.top[1:] for cell in (label, f"{probability:.4f}")]
            writer.writerow([*_cells(p), *further])
        return
    writer.writerow([*_COLUMNS, *(f"probability of {name}" for name in classes)])
    for p in predictions:
        by_class = dict(p.top)
        writer.writerow([*_cells(p), *(f"{by_class[name]:.4f}" for name in classes)])


def _cells(p: Prediction) -> Iterator[str]:
    yield from (p.name, p.label, f"{p.probability:.4f}")
    yield "not measured" if p.novel is None else "yes" if p.novel else "no"
    yield "" if p.p_value is None else f"{p.p_value:.4f}"
