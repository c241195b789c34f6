"""Images become a division to develop and to test on: listed, measured, checked, split."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats, Ints
from graftwork.core.facts import DatasetFacts
from graftwork.core.findings import Finding
from graftwork.core.options import JudgingOptions, SplitOptions
from graftwork.core.splits import Split, make_split
from graftwork.core.trials import Task
from graftwork.errors import DataError, UsageError
from graftwork.images.check import SERIES, check, straddling
from graftwork.images.imageset import ImageSet, hash_images
from graftwork.images.join import with_test_part
from graftwork.images.measure import measure_images
from graftwork.images.measurements import Measurements, intensity_range
from graftwork.images.read import read_images, with_groups
from graftwork.listener import SILENT, Listener
from graftwork.runfolder import read_run

_DECIMAL_COMMA = re.compile(r"\d*,\d+")
"""A share as it is written in much of Europe; a folder of such a name can be given as ``./0,2``."""
INPUT_PX = 224
"""Side of the input of most networks: images are tiny or huge relative to it, where no ``--input-px`` is given."""


@dataclasses.dataclass(frozen=True, eq=False)
class CheckedImages:
    """Images that can be used, what was measured on each, and what is wrong with them."""

    images: ImageSet
    measurements: Measurements
    groups: Ints
    """(n,) images of one number stay on one side of every split: given groups, and exact copies or near-duplicates."""
    findings: tuple[Finding, ...]
    series: Ints | None
    """(n,) likely series, where no name gives groups. They do not divide the images; a second figure respects them."""

    @property
    def intensity_range(self) -> tuple[float, float] | None:
        """The common range of all images of more than 8 bits per channel."""
        return intensity_range(self.measurements)

    def labels_in(self, classes: tuple[str, ...]) -> Ints:
        """(n,) indices into the classes of a model, matched by name.

        Raises
        ------
        DataError
            When an image has no label, or one that the model does not know.
        """
        images = self.images
        if not images.classes or (images.labels < 0).any():
            raise DataError(
                f"{images.root} must hold labelled images, one folder per class or a table, but some have no label; "
                "label them, or use predict"
            )
        unknown = sorted(set(images.classes) - set(classes))
        if unknown:
            raise DataError(
                f"every class must be one of the model's {len(classes)} ({', '.join(classes[:5])}), but the images "
                f"also have {', '.join(unknown[:5])}; rename these folders, or take them out"
            )
        return np.array([classes.index(name) for name in images.classes])[images.labels]


@dataclasses.dataclass(frozen=True, eq=False)
class SplitImages(CheckedImages):
    """Checked images, divided."""

    split: Split
    test_was_given: bool
    """Whether the test part came with the data, or as a folder of its own."""

    @property
    def develop(self) -> ImageSet:
        """The images that choices and weights may depend on."""
        return self.images.take(self.split.develop)

    @property
    def y(self) -> Ints:
        """(n_develop,) class indices."""
        return self.images.labels[self.split.develop]

    @property
    def develop_groups(self) -> Ints:
        """(n_develop,) group numbers."""
        return self.split.groups[self.split.develop]

    @property
    def intensity_range(self) -> tuple[float, float] | None:
        """The common range of the develop images of more than 8 bits per channel."""
        return intensity_range(self.measurements.take(self.split.develop))

    @property
    def features(self) -> dict[str, Floats]:
        """(n_develop, d) features of each baseline, by its name."""
        measured = self.measurements.take(self.split.develop)
        pixels = measured.pixels16.reshape(len(measured), -1) / 255.0
        return {"file facts": file_facts(measured), "16 x 16 pixels": pixels}

    @property
    def facts(self) -> DatasetFacts:
        """Counts of the develop images."""
        measured, classes = self.measurements.take(self.split.develop), self.images.classes
        groups = len(np.unique(self.develop_groups))
        return DatasetFacts(
            images=len(self.y),
            classes=classes,
            per_class=tuple(map(int, np.bincount(self.y, minlength=len(classes)))),
            groups=groups if groups < len(self.y) else None,
            median_width_px=int(np.median(measured.width)),
            median_height_px=int(np.median(measured.height)),
            formats=_counts(measured.format),
            modes=_counts(measured.mode),
        )

    def task(self, judging: JudgingOptions) -> Task:
        """Return what candidates are tried on: the develop images with their folds, judged as a user asks for."""
        return Task(
            y=self.y,
            groups=self.develop_groups,
            folds=self.split.folds,
            classes=self.images.classes,
            metric=judging.metric,
            balanced=judging.balanced,
            tolerance=judging.tolerance / 100,
            seed=self.split.seed,
        )

    def all_develop(self, options: SplitOptions) -> SplitImages:
        """Put the test images back among those to develop on."""
        split = make_split(self.images.labels, self.groups, seed=options.seed, test_fraction=0, n_folds=options.folds)
        return dataclasses.replace(self, split=split, test_was_given=False)


def check_images(
    data: str | Path,
    *,
    test: str | Path | None = None,
    group_by: str | None = None,
    input_px: int | None = None,
    listener: Listener = SILENT,
) -> CheckedImages:
    """List images, measure each, and leave out those that cannot be used.

    Parameters
    ----------
    test
        A folder or table whose images become the test part.
    group_by
        A column, a regular expression, or ``series`` for likely series.
    input_px
        Side of the network's input, where the user gives it; images are tiny or huge relative to it.

    Raises
    ------
    DataError, UsageError
        When nothing can be read, or the arguments do not fit the data.
    """
    images = read_images(data)
    if test is not None:
        images = with_test_part(images, read_images(test))
    by_series = group_by == SERIES and SERIES not in images.columns
    if group_by is not None and not by_series:  # of both parts: a group may have images in both
        images = with_groups(images, group_by)
    hash_images(images)
    measurements = measure_images(images, listener=listener)
    problems = check(images, measurements, input_px=input_px or INPUT_PX, join_series=by_series)
    usable = problems.usable
    findings = (*images.notes, *problems.findings)
    return CheckedImages(images.take(usable), measurements.take(usable), problems.groups, findings, problems.series)


def prepare(
    data: str | Path, options: SplitOptions, *, input_px: int | None = None, listener: Listener = SILENT
) -> SplitImages:
    """List, measure, check and split images; the same arguments give the same division.

    Parameters
    ----------
    input_px
        As ``check_images``.

    Raises
    ------
    DataError
        When there are not at least two classes, or not enough images to divide.
    UsageError
        When the arguments do not fit together or the data.
    """
    fraction, folder = _test(options.test)
    checked = check_images(data, test=folder, group_by=options.group_by, input_px=input_px, listener=listener)
    images = checked.images
    _require_labels(images, data)
    given = images.parts == "test" if images.parts is not None else None
    if given is not None:
        _require_no_other_test(options, data)
        if folder is None:
            listener.say(
                f"{data} comes with a test part: its {given.sum()} images are the test part, and no share of the others"
            )
    split = make_split(
        images.labels,
        checked.groups,
        seed=options.seed,
        test_fraction=fraction,
        n_folds=options.folds,
        given_test=given,
        earlier_side=_earlier_sides(images, Path(options.split_from)) if options.split_from is not None else None,
    )
    _require_develop(images, split, options.folds)
    findings = (*checked.findings, *straddling(images, checked.measurements, split))
    return SplitImages(images, checked.measurements, checked.groups, findings, checked.series, split, given is not None)


def file_facts(measurements: Measurements) -> Floats:
    """(n, d) what can be known of files without seeing what they show: size, format, mean colour, sharpness."""
    m = measurements
    sizes = np.log(np.stack([m.width, m.height, m.bytes], axis=1).clip(1))
    names = [f"{f} {mode}" for f, mode in zip(m.format, m.mode, strict=True)]
    kinds = np.unique(names, return_inverse=True)[1]
    return np.concatenate([sizes, np.eye(kinds.max() + 1)[kinds], m.colour / 255, m.sharpness[:, None]], axis=1)


def _test(test: str | float) -> tuple[float, str | None]:
    """Return the share to test on, and the folder that tests instead."""
    if test == "cv":
        return 0.0, None
    try:
        fraction = float(str(test))
    except ValueError:
        if _DECIMAL_COMMA.fullmatch(str(test)) is None:
            return 0.0, str(test)
        fraction = math.nan
    if not 0 <= fraction < 1:
        raise UsageError(f"--test must be a share from 0 to below 1, a folder or cv, got {test}; 0.2 is a fifth")
    return fraction, None


def _require_no_other_test(options: SplitOptions, data: str | Path) -> None:
    if options.split_from is not None:
        raise UsageError(
            f"--split-from takes the split of another run, but {data} comes with a test part; leave out one of them"
        )
    if options.test == "cv":
        raise UsageError(
            f"--test cv tests with every image, but {data} comes with a test part of its own: leave out --test, or "
            "give the training part alone"
        )


def _require_labels(images: ImageSet, data: str | Path) -> None:
    present = np.unique(images.labels[images.labels >= 0])
    if len(present) < 2:
        named = f"only {images.classes[present[0]]}" if len(present) else "none"
        raise DataError(
            f"{data} must hold images of at least two classes, but holds {named}; put each class in a folder of its own"
        )


def _require_develop(images: ImageSet, split: Split, folds: int) -> None:
    if len(split.develop) < folds:
        raise DataError(
            f"at least {folds} images must be left to develop on, but {len(split.develop)} are "
            f"({len(split.left_out)} share a group with the test part); add images or lower --folds"
        )
    present = np.unique(images.labels[split.develop])
    if len(present) < 2:
        raise DataError(
            f"at least two classes must be left to develop on, but only {images.classes[present[0]]} is; "
            "add images, or let fewer share a group"
        )


def _earlier_sides(images: ImageSet, run: Path) -> Ints:
    """(n,) 0 or 1 where an earlier run developed or tested on an image, -1 where it is new."""
    table = read_run(run).images
    side = {"develop": 0, "test": 1, "left out": -1}
    known = {digest: side[part] for digest, part in zip(table.digests, table.parts, strict=True)}
    return np.array([known.get(str(digest), -1) for digest in images.digests])


def _counts(values: NDArray[np.str_]) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}
