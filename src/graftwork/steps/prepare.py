"""Images become a division to develop and to test on: read, looked at, checked, split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from graftwork.core.findings import Finding
from numpy.typing import NDArray

from graftwork.core.arrays import Floats, Ints
from graftwork.core.facts import DatasetFacts
from graftwork.core.splits import Split, make_split
from graftwork.errors import DataError, UsageError
from graftwork.images.check import SERIES, check, straddling
from graftwork.images.imageset import ImageSet, hash_images
from graftwork.images.join import with_test_part
from graftwork.images.measurements import Measurements, intensity_range, measure_images
from graftwork.images.read import read_images, with_groups
from graftwork.listener import Listener
from graftwork.runfolder import read_run

INPUT_PX = 224
"""Side of the input of most networks: what images are tiny or huge against, where none was asked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class CheckedImages:
    """Images that can be used, what was measured on each, and what was found."""

    images: ImageSet
    measurements: Measurements
    groups: Ints
    """(n,) what stays on one side: told groups, and copies exact or near."""
    findings: tuple[Finding, ...]
    series: Ints | None
    """(n,) likely series where no name tells of them; they do not divide the images, but a figure beside does."""

    @property
    def intensity_range(self) -> tuple[float, float] | None:
        """The one range of images of more than 8 bits."""
        return intensity_range(self.measurements)

    def numbers(self, classes: tuple[str, ...]) -> Ints:
        """(n,) indices into the classes of a model, matched by name.

        Raises
        ------
        DataError
            When an image has no label, or one that the model does not know.
        """
        images = self.images
        if not images.classes or (images.labels < 0).any():
            raise DataError(f"{images.root} must hold labelled images, one folder a class or a table; use predict")
        unknown = sorted(set(images.classes) - set(classes))
        if unknown:
            raise DataError(
                f"the model knows {len(classes)} classes ({', '.join(classes[:5])}), but the images have "
                f"{', '.join(unknown[:5])} too; rename or leave out"
            )
        return np.array([classes.index(name) for name in images.classes])[images.labels]


@dataclasses.dataclass(frozen=True, eq=False)
class SplitImages(CheckedImages):
    """Looked at, and divided."""

    split: Split
    test_was_given: bool

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
        """(n_develop,)."""
        return self.split.groups[self.split.develop]

    @property
    def intensity_range(self) -> tuple[float, float] | None:
        """The one range of the develop images of more than 8 bits."""
        return intensity_range(self.measurements.take(self.split.develop))

    @property
    def features(self) -> dict[str, Floats]:
        """What the baselines are fitted on, of the develop images."""
        measurements = self.measurements.take(self.split.develop)
        return {
            "file facts": file_facts(measurements),
            "16 x 16 pixels": measurements.pixels16.reshape(len(measurements), -1) / 255.0,
        }

    @property
    def facts(self) -> DatasetFacts:
        """Counts of the develop images."""
        measurements, classes = self.measurements.take(self.split.develop), self.images.classes
        groups = len(np.unique(self.develop_groups))
        return DatasetFacts(
            images=len(self.y),
            classes=classes,
            per_class=tuple(map(int, np.bincount(self.y, minlength=len(classes)))),
            groups=groups if groups < len(self.y) else None,
            median_width_px=int(np.median(measurements.width)),
            median_height_px=int(np.median(measurements.height)),
            formats=_counts(measurements.format),
            modes=_counts(measurements.mode),
        )

    def all_develop(self, *, folds: int, seed: int) -> SplitImages:
        """Put the test images back among those to develop on."""
        split = make_split(self.images.labels, self.groups, seed=seed, test_fraction=0, n_folds=folds)
        return dataclasses.replace(self, split=split, test_was_given=False)


def check_images(
    data: str | Path,
    *,
    test: str | Path | None = None,
    group_by: str | None = None,
    input_px: int | None = None,
    listener: Listener | None = None,
) -> CheckedImages:
    """Read images, look at each, and leave out what cannot be used.

    Parameters
    ----------
    group_by
        A column, a regular expression, or ``series`` for likely series.
    input_px
        Side of the network's input, where it was asked for; images are tiny or huge against it.

    Raises
    ------
    DataError, UsageError
        When nothing can be read, or the arguments do not fit the data.
    """
    listener = listener or Listener()
    images = read_images(data)
    if test is not None:
        images = with_test_part(images, read_images(test))
    by_series = group_by == SERIES and SERIES not in images.columns
    if group_by is not None and not by_series:  # of both parts: what belongs together may lie in both
        images = with_groups(images, group_by)
    hash_images(images)
    measurements = measure_images(images, progress=listener.progress)
    problems = check(images, measurements, input_px=input_px or INPUT_PX, join_series=by_series)
    usable = problems.usable
    found = (*images.notes, *problems.findings)
    return CheckedImages(images.take(usable), measurements.take(usable), problems.groups, found, problems.series)


def prepare(
    data: str | Path,
    *,
    test: str | Path | float,
    folds: int,
    group_by: str | None,
    split_from: str | Path | None,
    seed: int,
    input_px: int | None = None,
    listener: Listener,
) -> SplitImages:
    """Read, look, check and split; the same arguments give the same division.

    Raises
    ------
    DataError
        When there are not at least two classes, or not enough images to divide.
    UsageError
        When the arguments do not fit together or the data.
    """
    if seed < 0:
        raise UsageError(f"--seed must be a whole number from 0 on, got {seed}; choose another")
    fraction, folder = _test(test)
    checked = check_images(data, test=folder, group_by=group_by, input_px=input_px, listener=listener)
    images = checked.images
    _require_labels(images, data)
    given = images.parts == "test" if images.parts is not None else None
    if given is not None and split_from is not None:
        raise UsageError(f"--like keeps the split of another run, but {data} comes with a test part; leave out one")
    if given is not None and test == "cv":
        raise UsageError(
            f"--test cv tests with every image, but {data} comes with a test part of its own: leave out --test, or "
            "give the training part alone"
        )
    if given is not None and folder is None:
        listener.say(
            f"{data} comes with a test part: its {given.sum()} images are tested on, and no share of the others"
        )
    split = make_split(
        images.labels,
        checked.groups,
        seed=seed,
        test_fraction=fraction,
        n_folds=folds,
        given_test=given,
        earlier_side=_earlier_sides(images, Path(split_from)) if split_from is not None else None,
    )
    _require_develop(images, split, folds)
    found = (*checked.findings, *straddling(images, checked.measurements, split))
    return SplitImages(images, checked.measurements, checked.groups, found, checked.series, split, given is not None)


def file_facts(measurements: Measurements) -> Floats:
    """(n, d) what can be known of files without seeing what they show: size, format, mean colour, sharpness."""
    sizes = np.log(np.stack([measurements.width, measurements.height, measurements.bytes], axis=1).clip(1))
    names = [f"{f} {m}" for f, m in zip(measurements.format, measurements.mode, strict=True)]
    kinds = np.unique(names, return_inverse=True)[1]
    return np.concatenate(
        [sizes, np.eye(kinds.max() + 1)[kinds], measurements.colour / 255, measurements.sharpness[:, None]], axis=1
    )


def _test(test: str | Path | float) -> tuple[float, str | None]:
    """Return the share to test on, and the folder that tests instead."""
    if test == "cv":
        return 0.0, None
    try:
        fraction = float(str(test))
    except ValueError:
        return 0.0, str(test)
    if not 0 <= fraction < 1:
        raise UsageError(f"--test must be a share from 0 to below 1, a folder or cv, got {test}; 0.2 is a fifth")
    return fraction, None


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
