"""Where a run is written, and the command that repeats it."""

from __future__ import annotations

import contextlib
import inspect
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from graftwork.errors import GraftError, Interrupted, StorageError, UsageError
from graftwork.files import write_json
from graftwork.runfolder import RUN, SETTINGS

CLOCK = "clock.json"
LOCK = ".lock"


def run_name(data: str | Path) -> str:
    """Return the name of a run on these images: that of the real folder, however it was typed, or of the table."""
    path = Path(data)
    return path.stem if path.is_file() else path.resolve().name or "images"  # the root of a disk has no name


@contextlib.contextmanager
def claimed(output: str | Path | None, name: str, settings: Mapping[str, Any]) -> Iterator[Path]:
    """Claim the folder of a run and write its settings; until the block ends no other run may write there.

    A folder that holds a run with the same settings is the run's own: one that was killed goes on, a complete one is
    run again. Without ``output`` the first number is taken that is free or was killed with the same settings. A run
    that fails before it has anything to show leaves nothing; one that Ctrl-C stops stays, unfinished.

    Raises
    ------
    UsageError
        When the folder holds something else, or another run writes there now.
    StorageError
        When the folder cannot be written to.
    Interrupted
        After Ctrl-C.
    """
    existed = output is not None and Path(output).exists()
    folder, lock = _own_folder(Path(output), settings) if output is not None else _first_free(name, settings)
    try:
        yield folder
    except GraftError:
        lock.release()
        if _holds_nothing(folder):
            for entry in folder.iterdir():
                entry.unlink()
            if not existed:
                folder.rmdir()
        raise
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"stopped: {folder} holds what was computed, unfinished and untested; the same command goes on where it was"
        ) from stop
    finally:
        lock.release()


def _holds_nothing(folder: Path) -> bool:
    return {entry.name for entry in folder.iterdir()} <= {SETTINGS, CLOCK, LOCK}


def _own_folder(folder: Path, settings: Mapping[str, Any]) -> tuple[Path, FileLock]:
    lock = _claim(folder, settings)
    if isinstance(lock, str):
        raise UsageError(f"-o must be a new folder or a run with the same settings, but {folder} {lock}")
    return folder, lock


def _first_free(name: str, settings: Mapping[str, Any]) -> tuple[Path, FileLock]:
    number = 1
    while True:
        folder = Path("runs") / f"{name}-{number:03}"
        lock = "is complete" if (folder / RUN).exists() else _claim(folder, settings)
        if not isinstance(lock, str):
            return folder, lock
        number += 1


def _claim(folder: Path, settings: Mapping[str, Any]) -> FileLock | str:
    """Return the lock of the claimed folder, or why it cannot be claimed."""
    if folder.exists() and not folder.is_dir():
        return "is a file"
    new = not folder.exists() or _holds_nothing(folder)
    same = _settings_of(folder) == json.loads(json.dumps(settings))
    if not new and not same:
        return f"holds {'a run with other settings' if (folder / SETTINGS).exists() else 'something else'}"
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return "is being written by another run"
    except OSError as error:
        raise StorageError(
            f"{folder} must be a folder that can be written to, but: {error.strerror}; choose another -o"
        ) from error
    if not same:  # left by a run that ended before it had anything to show
        (folder / CLOCK).unlink(missing_ok=True)
    write_json(folder / SETTINGS, dict(settings))
    return lock


def command(verb: str, settings: Mapping[str, Any]) -> str:
    """Return the command line that repeats a run: only what differs from the verb's defaults is named."""
    import graftwork

    defaults = inspect.signature(getattr(graftwork, verb)).parameters
    words = ["graft", verb, str(settings["data"])]
    for name, value in settings.items():
        if name == "data" or str(value) == str(defaults[name].default):
            continue
        flag = f"--{name.replace('_', '-')}"
        if value is None:  # a limit that was lifted
            words += [flag, "none"]
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            words += [flag] if one is True else [flag, str(one)]
    return shlex.join(words)


def _settings_of(folder: Path) -> Any:
    try:
        return json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
