"""A run as a folder: ``run.json`` for scalars, ``arrays.npz`` for arrays, ``splits.csv`` for people and later runs.

One converter turns the records of ``core`` into JSON and back; an array in a record becomes the name of an entry
in ``arrays.npz``, which is the hash of its content.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any, get_origin

import cattrs
import numpy as np

from graftwork.core.record import SCHEMA_VERSION, ImageTable, Run
from graftwork.errors import ModelError, did_you_mean
from graftwork.files import whole_file, write_json, write_text

RUN = "run.json"
"""The file that a complete run has."""
SETTINGS = "settings.json"
"""The file that a run has from its beginning."""
_COLUMNS = ("image", "digest", "label", "split", "fold", "group")


def write_run(run: Run, folder: Path) -> None:
    """Write a run's record; ``run.json`` comes last, so that a folder with it is complete."""
    arrays: dict[str, np.ndarray] = {}
    table = run.images
    plain = _converter(arrays).unstructure(run)
    plain["images"] = "splits.csv"
    del plain["folder"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(zip(table.names, table.digests, table.labels, table.parts, table.folds, table.groups, strict=True))
    write_text(folder / "splits.csv", text.getvalue())
    with whole_file(folder / "arrays.npz") as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    write_json(folder / RUN, plain)


def read_run(folder: Path) -> Run:
    """Read a run's record.

    Raises
    ------
    ModelError
        When the folder holds no complete run, or one that another version of graftwork wrote.
    """
    path = folder / RUN
    if not path.is_file():
        raise ModelError(f"{folder} must be the folder of a finished run, but {why_no_run(folder)}")
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        version = plain["schema_version"]
        if version != SCHEMA_VERSION:
            raise ModelError(
                f"{path} must have schema version {SCHEMA_VERSION}, but has {version}: another version of graftwork "
                "wrote it; train again"
            )
        plain["images"] = dataclasses.asdict(_read_table(folder / "splits.csv"))
        # numpy leaves a file open that is no archive, if it opened it itself
        with (folder / "arrays.npz").open("rb") as file, np.load(file, allow_pickle=False) as entries:
            arrays = {name: entries[name] for name in entries.files}
        run: Run = _converter(arrays).structure(plain, Run)
    except ModelError:
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        zipfile.BadZipFile,
        cattrs.BaseValidationError,
    ) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{folder} must hold a complete run, but reading it failed ({why}); train again") from error
    return dataclasses.replace(run, folder=str(folder))


def why_no_run(folder: Path) -> str:
    """Say what a folder without a complete run is, and what to do about it."""
    if (folder / SETTINGS).is_file():
        return "this one was stopped before its end; the command that began it goes on where it was"
    runs = [path.parent.name for path in folder.parent.glob(f"*/{RUN}")] if folder.parent.is_dir() else []
    hint = did_you_mean(folder.name, runs)
    what = "has no run.json" if folder.is_dir() else "is a file" if folder.is_file() else "does not exist"
    return f"{what}{hint}; give the -o of a train"


def _read_table(path: Path) -> ImageTable:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise ValueError(f"the first line of {path.name} must be {','.join(_COLUMNS)}")
    column = {name: tuple(row[name] for row in rows) for name in _COLUMNS}
    return ImageTable(
        names=column["image"],
        digests=column["digest"],
        labels=column["label"],
        parts=column["split"],
        folds=tuple(map(int, column["fold"])),
        groups=tuple(map(int, column["group"])),
    )


def _converter(arrays: dict[str, np.ndarray]) -> cattrs.Converter:
    """Return a converter that puts arrays into, or takes them from, ``arrays``."""
    converter = cattrs.Converter(forbid_extra_keys=False)

    def is_array(kind: Any) -> bool:
        return get_origin(kind) is np.ndarray

    def put(value: np.ndarray) -> dict[str, str]:
        head = f"{value.dtype.str}{value.shape}".encode()
        name = hashlib.sha256(head + np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
        arrays[name] = value
        return {"array": name}

    def take(plain: dict[str, Any], _: Any) -> np.ndarray:
        return arrays[plain["array"]]

    converter.register_unstructure_hook(np.ndarray, put)
    converter.register_unstructure_hook_func(is_array, put)
    converter.register_structure_hook_func(is_array, take)
    return converter
