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
from graftwork.core.rules import shift_finding, unlabelled_shift_finding

from graftwork.core.arrays import Ints
from graftwork.core.choose import choose, score
from graftwork.core.fitted import Fitted, probabilities
from graftwork.core.plans import Linear, Recipe, cost_to_use, training_of
from graftwork.core.record import Shift
from graftwork.core.splits import make_split
from graftwork.core.trials import Trial
from graftwork.errors import DataError, UsageError
from graftwork.images.imageset import ImageSet
from graftwork.listener import Listener
from graftwork.steps.backbones import Backbones
from graftwork.steps.prepare import SplitImages, check_images
from graftwork.steps.search import Rules, SearchResult

FEWEST_IMAGES = 20
FINALISTS = 3
"""The linear model, the fine-tuning, and half of the way to it."""


@dataclasses.dataclass(frozen=True, eq=False)
class There:
    """Images of the place where the model will be used."""

    folder: str
    images: ImageSet
    y: Ints
    """(n,) class indices; -1 for all where they have no labels, and then they neither choose nor test."""
    groups: Ints
    to_choose: Ints
    to_test: Ints

    @property
    def n_extractions(self) -> int:
        """How many images are read to choose by them: each, by everyone that may be chosen."""
        return FINALISTS * len(self.images) if len(self.to_choose) else 0


def load_target(
    folder: str | Path | None, split_images: SplitImages, *, group_by: str | None, seed: int, listener: Listener
) -> There | None:
    """Read, check and halve the images of another place, if one was named; those that the data have are left out.

    Parameters
    ----------
    group_by
        What belongs together, as in the data; where it tells nothing of these images, each is alone.

    Raises
    ------
    DataError
        When some have no label, a class that the data have not, or they are too few or all belong together.
    """
    if folder is None:
        return None
    try:
        checked = check_images(folder, group_by=group_by, listener=listener)
    except UsageError:
        listener.say(f"--group-by tells nothing of the images of {folder}: each is alone there")
        checked = check_images(folder, listener=listener)
    fresh = np.flatnonzero(~np.isin(checked.images.digests, split_images.images.digests))
    images, groups = checked.images.take(fresh), checked.groups[fresh]
    nothing = np.zeros(0, np.int64)
    if len(images) and (checked.images.labels < 0).all():
        return There(str(folder), images, images.labels, groups, nothing, nothing)
    y = checked.numbers(split_images.images.classes)[fresh]
    if len(images) < FEWEST_IMAGES:
        raise DataError(
            f"--shifted must name at least {FEWEST_IMAGES} images that are not in the data, but {folder} holds "
            f"{len(images)}; add images from where the model will be used"
        )
    halves = make_split(y, groups, seed=seed, test_fraction=0.5, n_folds=2)
    if not len(halves.develop) or not len(halves.test):
        raise DataError(
            f"--shifted must name images of at least two groups, but those of {folder} all belong together (one "
            "series, or copies of each other); add images from another day or place"
        )
    return There(str(folder), images, y, groups, halves.develop, halves.test)


def choose_for_target(
    rules: Rules, found: SearchResult, backbones: Backbones, there: There, fit: Callable[[Trial], Fitted]
) -> tuple[SearchResult, Shift | None]:
    """Choose again, by half of the images from there, among the chosen linear trial and the best fine-tuning.

    Where they have no labels, nothing changes, and a finding says so.

    Parameters
    ----------
    fit
        Fits a trial's candidate on the images to develop on.
    """
    if not len(there.to_choose):
        said = unlabelled_shift_finding(folder=there.folder, images=len(there.images))
        return dataclasses.replace(found, findings=(*found.findings, said)), None
    finalists = _finalists(found)
    rows = []
    for position in finalists:
        trial = found.trials[position]
        fitted = fit(trial)
        codes = backbones.of(trial.candidate).with_fitted(fitted).codes(there.images, backbones.progress)
        rows.append(probabilities(fitted, codes.of(trial.candidate.taps)))
    half = there.to_choose
    verdict = choose(
        [
            dataclasses.replace(found.trials[position], probabilities=row[half], ended="completed")
            for position, row in zip(finalists, rows, strict=True)
        ],
        [cost_to_use(found.trials[position].candidate, backbones.cards) for position in finalists],
        there.y[half],
        there.groups[half],
        rules.metric,
        seed=rules.seed,
        n_folds=None,
        tolerance=rules.tolerance,
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
    chosen = found.trials[moved.chosen].candidate.label
    said = shift_finding(shift.score, folder=there.folder, chosen=chosen)
    return dataclasses.replace(found, verdict=moved, findings=(*found.findings, said)), shift


def _finalists(found: SearchResult) -> list[int]:
    """Positions of the linear trial that reads best, and of every share of the whole fine-tuning that does."""

    def deficit(position: int) -> float:
        return found.verdict.rows[position].deficit

    trials = dict(enumerate(found.trials))
    linear = min((p for p, trial in trials.items() if isinstance(trial.candidate.plan, Linear)), key=deficit)
    tuned = {
        p: training_of(trial.candidate)
        for p, trial in trials.items()
        if isinstance(trial.candidate.plan, Recipe) and trial.ended == "completed"
    }
    best = min(tuned, key=deficit, default=None)
    return [linear, *(p for p, training in tuned.items() if best is not None and training == tuned[best])]
