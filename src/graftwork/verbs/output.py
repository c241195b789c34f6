"""Where a run is written, and what it takes to type it again."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftwork.errors import UsageError
from graftwork.files import write_json

SETTINGS = "settings.json"
CLOCK = "clock.json"


def claim_output(output: str | Path | None, name: str, settings: Mapping[str, Any]) -> Path:
    """Return the folder of a run, with its settings written in it.

    A folder that holds a run with the same settings is the run's own and goes on; without ``output`` the first
    number that is free or holds the same settings is taken.

    Raises
    ------
    UsageError
        When the folder holds something else.
    """
    if output is None:
        number = 1
        while not _is_ours(folder := Path("runs") / f"{name}-{number:03}", settings):
            number += 1
    else:
        folder = Path(output)
        if not _is_ours(folder, settings):
            told = "a run with other settings" if (folder / SETTINGS).exists() else "something else"
            raise UsageError(f"-o must be a new folder or a run with the same settings, but {folder} holds {told}")
    write_json(folder / SETTINGS, dict(settings))
    return folder


def command(verb: str, settings: Mapping[str, Any]) -> str:
    """Return the line to type to do it again: only what differs from the verb's defaults is said."""
    import graftwork

    defaults = inspect.signature(getattr(graftwork, verb)).parameters
    words = ["graft", verb, str(settings["data"])]
    for name, value in settings.items():
        if name == "data" or value is None or str(value) == str(defaults[name].default):
            continue
        flag = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, (list, tuple)) else [value]:
            words += [flag] if one is True else [flag, str(one)]
    return shlex.join(words)


def _is_ours(folder: Path, settings: Mapping[str, Any]) -> bool:
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    if {entry.name for entry in folder.iterdir()} <= {SETTINGS, CLOCK}:
        return True  # new, or claimed by a run that ended before it had anything to show
    if not (folder / SETTINGS).is_file():
        return False
    try:
        return bool(json.loads((folder / SETTINGS).read_text(encoding="utf-8")) == json.loads(json.dumps(settings)))
    except ValueError:
        return False
