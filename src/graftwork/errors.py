"""What a user can do about it, in one line: the only exceptions that graftwork raises on purpose.

::

    GraftError
    ├── UsageError      (ValueError)   the arguments do not fit together          exit 2
    ├── DataError       (ValueError)   the images or labels cannot be used        exit 1
    ├── BackboneError   (ValueError)   a pretrained network cannot be used        exit 1
    ├── TrainingError   (ValueError)   a training diverged                        exit 1
    ├── ModelError      (ValueError)   a run or model folder cannot be used       exit 1
    └── StorageError    (OSError)      something cannot be written or read back   exit 1

A message says what must hold, what was found, and what to do next. Anything else that escapes is a
defect of graftwork and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a run that can go on: what was computed is saved; the message says where. Exit 130."""


class GraftError(Exception):
    """A mistake or an obstacle that the user can correct; the message says how."""

    exit_code = 1


class UsageError(GraftError, ValueError):
    """Arguments that do not fit together."""

    exit_code = 2


class DataError(GraftError, ValueError):
    """Images or labels that cannot be used."""


class BackboneError(GraftError, ValueError):
    """A pretrained network, its weights or a layer's name that cannot be used."""


class TrainingError(GraftError, ValueError):
    """A training that cannot end well, or a checkpoint that cannot be used."""


class ModelError(GraftError, ValueError):
    """A run or model folder that cannot be used."""


class StorageError(GraftError, OSError):
    """Something that cannot be written, or cannot be read back whole."""


def did_you_mean(name: str, known: Iterable[str], most: int = 2) -> str:
    """Return `` (did you mean a or b?)``, the names nearest to a wrong one, whatever their case; else nothing."""
    by_letters = {candidate.casefold(): candidate for candidate in known}
    near = [by_letters[letters] for letters in difflib.get_close_matches(name.casefold(), by_letters, most)]
    return f" (did you mean {' or '.join(near)}?)" if near else ""
