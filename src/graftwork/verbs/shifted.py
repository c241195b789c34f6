"""The model will be used where images look different: half of those from there help to choose, the other half tests.

Plain fine-tuning is known to lose under such a shift what it gains at home, where a linear model, a fine-tuning that
starts from it (LP-FT, Kumar et al. 2022) and one that stops half of the way (WiSE-FT, Wortsman et al. 2022) hold. Which
of them, only images from there can tell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.choose import choose, score
from graftwork.core.fitted import Fitted, probabilities
from graftwork.core.plans import Linear, Recipe
from graftwork.core.record import Shift
from graftwork.core.splits import make_split
from graftwork.core.trials import Trial
from graftwork.errors import DataError
from graftwork.images.imageset import ImageSet
from graftwork.verbs.listener import Listener
from graftwork.verbs.prepare import Prepared, look_and_check
from graftwork.verbs.reading import Networks
from graftwork.verbs.search import Found, Rules

Ints = NDArray[np.integer]

FEWEST_IMAGES = 20


@dataclasses.dataclass(frozen=True, eq=False)
class There:
    """Labelled images of the place where the model will be used."""

    folder: str
    images: ImageSet
    y: Ints
    groups: Ints
    to_choose: Ints
    to_test: Ints


def read_there(folder: str | Path, prepared: Prepared, *, seed: int, listener: Listener) -> There:
    """Read, check and halve the images of another place; those that are in the data already are left out.

    Raises
    ------
    DataError
        When they have no labels, a class that the data have not, or are too few.
    """
    looked = look_and_check(folder, listener=listener)
    fresh = np.flatnonzero(~np.isin(looked.images.digests, prepared.images.digests))
    images, groups = looked.images.take(fresh), looked.groups[fresh]
    y = looked.numbers(prepared.images.classes)[fresh]
    if len(images) < FEWEST_IMAGES:
        raise DataError(
            f"--shifted must name at least {FEWEST_IMAGES} images that are not in the data, but {folder} holds "
            f"{len(images)}; add images from where the model will be used"
        )
    halves = make_split(y, groups, seed=seed, test_fraction=0.5, n_folds=2)
    return There(str(folder), images, y, groups, halves.develop, halves.test)


def choose_there(
    rules: Rules, found: Found, networks: Networks, there: There, fit: Callable[[Trial], Fitted]
) -> tuple[Found, Shift]:
    """Choose again, by half of the images from there, among the chosen linear trial and the best fine-tuning.

    Parameters
    ----------
    fit
        Fits a trial's candidate on the images to develop on.
    """
    finalists = _finalists(found)
    rows = []
    for position in finalists:
        trial = found.trials[position]
        fitted = fit(trial)
        codes = networks.of(trial.candidate).with_fitted(fitted).codes(there.images, networks.progress)
        rows.append(probabilities(fitted, codes.of(trial.candidate.taps)))
    half = there.to_choose
    verdict = choose(
        [
            dataclasses.replace(found.trials[position], probabilities=row[half], ended="whole")
            for position, row in zip(finalists, rows, strict=True)
        ],
        [networks.cost(found.trials[position].candidate) for position in finalists],
        there.y[half],
        there.groups[half],
        rules.metric,
        seed=rules.seed,
        n_folds=None,
        worth=rules.worth,
    )
    tested = rows[verdict.chosen][there.to_test]
    y, groups = there.y[there.to_test], there.groups[there.to_test]
    moved = dataclasses.replace(
        found.verdict,
        chosen=finalists[verdict.chosen],
        words=verdict.words,
        because=f"{verdict.because}, on {len(half)} images of the place where the model will be used",
    )
    shift = Shift(there.folder, verdict, score(rules.metric, y, tested, groups, seed=rules.seed))
    return dataclasses.replace(found, verdict=moved), shift


def _finalists(found: Found) -> list[int]:
    """Positions of the linear trial that reads best, and of the best whole fine-tuning at each share of the way."""
    kinds: dict[object, int] = {}
    for position, trial in enumerate(found.trials):
        plan = trial.candidate.plan
        if isinstance(plan, Recipe) and trial.ended != "whole":
            continue
        kind = "linear" if isinstance(plan, Linear) else plan.keep
        best = kinds.setdefault(kind, position)
        if found.verdict.rows[position].deficit < found.verdict.rows[best].deficit:
            kinds[kind] = position
    return list(kinds.values())
