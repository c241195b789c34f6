"""The target domain: images from where the model will be used. Half of them help to choose, the other half test.

Plain fine-tuning is known to lose under a domain shift what it gains on the training domain, where a linear model, a
fine-tuning that starts from it (LP-FT, Kumar et al. 2022) and the average of both (WiSE-FT, Wortsman et al. 2022) lose
less. Which of them is best there, only images from there can tell.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from graftwork.core.arrays import Ints
from graftwork.core.choose import choose
from graftwork.core.fitted import probabilities
from graftwork.core.options import DATA_DEFAULTS, DataOptions, SplitOptions
from graftwork.core.plans import recipe_of, training_of
from graftwork.core.record import Shift
from graftwork.core.result_findings import target_finding, unlabelled_target_finding
from graftwork.core.scoring import score
from graftwork.core.splits import deal
from graftwork.core.trials import Task
from graftwork.errors import DataError, UsageError
from graftwork.finetune.context import FineTuneContext
from graftwork.fit import fit
from graftwork.images.imageset import ImageSet
from graftwork.listener import SILENT, Listener
from graftwork.steps.backbones import Backbones
from graftwork.steps.prepare import CheckedImages, SplitImages, check_images
from graftwork.steps.search import SearchResult, costs_of

FEWEST_IMAGES = 20
FINALISTS = 3
"""The linear model, the fine-tuned network, and their WiSE-FT average."""


@dataclasses.dataclass(frozen=True, eq=False)
class TargetDomain:
    """Images from where the model will be used."""

    folder: str
    images: ImageSet
    y: Ints
    """(n,) class indices; -1 for all where they have no labels, and then they neither choose nor test."""
    groups: Ints
    to_choose: Ints
    """Indices of the half that helps to choose."""
    to_test: Ints
    """Indices of the half that tests."""

    @property
    def n_extractions(self) -> int:
        """How many times the codes of an image are extracted: once per image and finalist."""
        return FINALISTS * len(self.images) if len(self.to_choose) else 0


def load_target(
    folder: str | Path | None,
    split_images: SplitImages,
    options: SplitOptions,
    data_options: DataOptions,
    *,
    listener: Listener = SILENT,
) -> TargetDomain | None:
    """List, check and halve the images of the target domain, if one was given; images that the data hold are dropped.

    The data's options hold for these images, too, as far as they fit them.

    Raises
    ------
    DataError
        When some have no label or an unknown class, or they are too few or all belong together.
    """
    if folder is None:
        return None
    checked = _checked(folder, data_options, listener)
    fresh = np.flatnonzero(~np.isin(checked.images.digests, split_images.images.digests))
    images, groups = checked.images.take(fresh), checked.groups[fresh]
    none = np.zeros(0, np.int64)
    if len(images) and (checked.images.labels < 0).all():
        return TargetDomain(str(folder), images, images.labels, groups, none, none)
    y = checked.labels_in(split_images.images.classes)[fresh]
    if len(images) < FEWEST_IMAGES:
        raise DataError(
            f"--shifted must name {FEWEST_IMAGES} images or more that are not in the data, but {folder} holds "
            f"{len(images)}; add images from where the model will be used"
        )
    half = deal(y, groups, (0.5, 0.5), np.random.default_rng(options.seed))
    to_choose, to_test = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    if not len(to_choose) or not len(to_test):
        raise DataError(
            f"--shifted must name images of at least two groups, but those of {folder} all belong together (one "
            "series, or copies of each other); add images from another day or place"
        )
    return TargetDomain(str(folder), images, y, groups, to_choose, to_test)


def _checked(folder: str | Path, options: DataOptions, listener: Listener) -> CheckedImages:
    """Check the images with the options of the data; without those of groups, or of columns, where they do not fit."""
    for fewer in (dataclasses.replace(options, group_by=None), DATA_DEFAULTS):
        try:
            return check_images(folder, options, listener=listener)
        except UsageError as error:
            listener.say(f"{folder} does not fit an option, which is left out: {error}")
            options = fewer
    return check_images(folder, options, listener=listener)


def choose_for_target(
    result: SearchResult, task: Task, backbones: Backbones, target: TargetDomain, context: FineTuneContext
) -> tuple[SearchResult, Shift | None]:
    """Choose again, by half of the target's images, among the best linear trial and the best fine-tuning.

    Where they have no labels, nothing changes, and a finding says so.
    """
    if not len(target.to_choose):
        note = unlabelled_target_finding(folder=target.folder, images=len(target.images))
        return dataclasses.replace(result, findings=(*result.findings, note)), None
    finalists = _finalists(result)
    rows = []
    for position in finalists:
        trial = result.trials[position]
        fitted = fit(trial, backbones.codes(trial.candidate), task, context)
        network = backbones.of(trial.candidate).with_fitted(fitted).with_activations(())
        codes = network.codes(target.images, backbones.listener)
        rows.append(probabilities(fitted, codes.of(trial.candidate.taps)))
    # one classifier gave all rows of a finalist: one fold
    target_task = dataclasses.replace(task, y=target.y, groups=target.groups, folds=np.zeros_like(target.y))
    verdict = choose(
        [
            dataclasses.replace(result.trials[position], probabilities=row[target.to_choose], ended="completed")
            for position, row in zip(finalists, rows, strict=True)
        ],
        costs_of([result.trials[position].candidate for position in finalists], backbones.cards),
        target_task.take(target.to_choose),
    )
    chosen = finalists[verdict.chosen]
    because = f"{verdict.because}, on {len(target.to_choose)} images of the target domain"
    final = dataclasses.replace(result.verdict, chosen=chosen, words=verdict.words, because=because)
    tested = target_task.take(target.to_test)
    figure = score(task.metric, tested.y, rows[verdict.chosen][target.to_test], tested.groups)
    note = target_finding(figure, folder=target.folder, chosen=result.trials[chosen].candidate.label)
    shift = Shift(target.folder, verdict, figure)
    return dataclasses.replace(result, verdict=final, findings=(*result.findings, note)), shift


def _finalists(result: SearchResult) -> list[int]:
    """Positions of the best linear trial, and of the best completed fine-tuning: as it is, and at other alphas."""

    def deficit(position: int) -> float:
        return result.verdict.rows[position].deficit

    candidates = {position: trial.candidate for position, trial in enumerate(result.trials)}
    linear = min((p for p, candidate in candidates.items() if candidate.plan.kind == "linear"), key=deficit)
    tuned = {
        p: candidate
        for p, candidate in candidates.items()
        if candidate.plan.kind != "linear" and result.trials[p].ended == "completed"
    }
    best = min(tuned, key=deficit, default=None)
    if best is None:
        return [linear]
    # one number of views: of each network two would only compete with themselves
    others = [p for p, candidate in tuned.items() if training_of(candidate) == training_of(tuned[best])]
    alphas = {recipe_of(tuned[p]).alpha: p for p in others if p != best and tuned[p].plan != tuned[best].plan}
    return [linear, best, *alphas.values()]
