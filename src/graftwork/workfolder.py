"""What a stopped run goes on with, as files: linear trials and folds of fine-tunings, each whole or not there.

What cannot be read is computed again, so nothing here raises for a broken file.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.plans import Candidate
from graftwork.core.trials import Curve, Trial
from graftwork.files import whole_file, write_json

Variant = tuple[float, int]
"""What one training is used as: ``Recipe.alpha``, and the number of views that are averaged."""
_BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclasses.dataclass(frozen=True, eq=False)
class FoldResult:
    """What one fold of a fine-tuning gave."""

    margins: Mapping[Variant, NDArray[np.float32]]
    """(m, k) of the fold's validation images."""
    curve: Curve
    seconds: float


def save_trial(place: Path, trial: Trial) -> None:
    """Write a linear trial."""
    with whole_file(place) as part, part.open("wb") as file:
        values = {"probabilities": trial.probabilities, "seconds": trial.fit_seconds, **trial.details}
        np.savez(file, allow_pickle=False, **{name: np.asarray(value) for name, value in values.items()})


def load_trial(place: Path, candidate: Candidate) -> Trial | None:
    """Return the trial that a stopped run saved; None where there is none, or it is broken."""
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            details = {name: float(arrays[name]) for name in ("C", "temperature")}
            return Trial(candidate, arrays["probabilities"], float(arrays["seconds"]), details)
    except _BROKEN:
        return None


def save_fold(place: Path, result: FoldResult) -> None:
    """Write the result of a fold into a folder; with ``fold.json`` it is complete."""
    with whole_file(place / "margins.npz") as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_name(*variant): rows for variant, rows in result.margins.items()})
    write_json(place / "fold.json", {"seconds": result.seconds, "curve": [list(point) for point in result.curve]})


def load_fold(place: Path, variants: Sequence[Variant]) -> FoldResult | None:
    """Return what an earlier run of the same fold gave; None where there is none, or it is broken.

    Parameters
    ----------
    variants
        Those whose margins are wanted.
    """
    try:
        saved = json.loads((place / "fold.json").read_text(encoding="utf-8"))
        with (place / "margins.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            margins = {variant: arrays[_name(*variant)] for variant in variants}
        curve = tuple((float(training), float(validation)) for training, validation in saved["curve"])
        return FoldResult(margins, curve, float(saved["seconds"]))
    except _BROKEN:
        return None


def _name(alpha: float, views: int) -> str:
    return f"alpha {alpha:g}, views {views}"
