"""Images become a division to develop and to test on: listed, measured, checked, split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats, Ints
from graftwork.core.facts import DatasetFacts
from graftwork.core.figures import counted
from graftwork.core.findings import Finding, finding
from graftwork.core.options import DATA_DEFAULTS, DataOptions, JudgingOptions, SplitOptions
from graftwork.core.splits import Split, make_split
from graftwork.core.trials import Task
from graftwork.errors import DataError, UsageError
from graftwork.images.check import check, straddling
from graftwork.images.groups import Proposal
from graftwork.images.imageset import ImageSet, hash_images
from graftwork.images.listing import few, with_near_names
from graftwork.images.measure import measure_images
from graftwork.images.measurements import Measurements, intensity_range
from graftwork.images.read import by_series, read_images
from graftwork.listener import SILENT, Listener
from graftwork.runfolder import read_run

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
    proposals: tuple[Proposal, ...]
    """Likely groups that were not given."""
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
                f"the images of {images.table or images.root} must have labels, but some have none; label them, or use "
                "predict"
            )
        unknown = set(images.classes) - set(classes)
        if unknown:
            raise DataError(
                f"every class must be one of the model's {len(classes)} ({few(classes)}), but the images also have "
                f"{with_near_names(unknown, classes)}; rename these classes, or take them out"
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
    options: DataOptions = DATA_DEFAULTS,
    *,
    test: str | Path | None = None,
    input_px: int | None = None,
    listener: Listener = SILENT,
) -> CheckedImages:
    """List images, measure each, and leave out those that cannot be used.

    Parameters
    ----------
    options, test
        As ``read_images``.
    input_px
        Side of the network's input, where the user gives it; images are tiny or huge relative to it.

    Raises
    ------
    DataError, UsageError
        When nothing can be read, or the arguments do not fit the data.
    """
    images = read_images(data, options, test=test)
    hash_images(images)
    measurements = measure_images(images, listener=listener)
    problems = check(images, measurements, input_px=input_px or INPUT_PX, join_series=by_series(images, options))
    usable = problems.usable
    return CheckedImages(
        images=images.take(usable).without_empty_classes(),
        measurements=measurements.take(usable),
        groups=problems.groups,
        findings=(*images.notes, *problems.findings),
        proposals=problems.proposals,
        series=problems.series,
    )


def prepare(
    data: str | Path,
    options: SplitOptions,
    data_options: DataOptions = DATA_DEFAULTS,
    *,
    input_px: int | None = None,
    listener: Listener = SILENT,
) -> SplitImages:
    """List, measure, check and split images; the same arguments give the same division.

    Parameters
    ----------
    data_options, input_px
        As ``check_images``.

    Raises
    ------
    DataError
        When there are not at least two classes, or not enough images to divide.
    UsageError
        When the arguments do not fit together or the data.
    """
    fraction, folder = options.test_part
    checked = check_images(data, data_options, test=folder, input_px=input_px, listener=listener)
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
    checked = dataclasses.replace(checked, findings=_with_those_of_split(checked, split, fraction))
    return SplitImages(**vars(checked), split=split, test_was_given=given is not None)


def file_facts(measurements: Measurements) -> Floats:
    """(n, d) what can be known of files without seeing what they show: size, format, mean colour, sharpness."""
    m = measurements
    sizes = np.log(np.stack([m.width, m.height, m.bytes], axis=1).clip(1))
    names = [f"{f} {mode}" for f, mode in zip(m.format, m.mode, strict=True)]
    kinds = np.unique(names, return_inverse=True)[1]
    return np.concatenate([sizes, np.eye(kinds.max() + 1)[kinds], m.colour / 255, m.sharpness[:, None]], axis=1)


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
        if len(present):
            because = f"{data} holds only {images.classes[present[0]]}"
            do = f"add images of another class, or {images.to_separate_classes}"
        else:
            without = [note for note in images.notes if note.code == "G132"]  # a table without a column of labels
            because = without[0].because if without else f"{data} holds {counted(len(images), 'image')} without labels"
            do = without[0].do if without else "put each class in a folder of its own, or list the images in a table"
        raise DataError(f"images of at least two classes are needed, but {because}; {do}")


def _require_develop(images: ImageSet, split: Split, folds: int) -> None:
    count = np.bincount(images.labels[split.develop], minlength=len(images.classes))
    absent = np.flatnonzero(count == 0)
    if len(absent):
        out, tested = (int(np.isin(images.labels[part], absent).sum()) for part in (split.left_out, split.test))
        raise DataError(
            f"every class must have images to develop on, but {few([images.classes[i] for i in absent])} has none: "
            f"{tested} are in the test part, and {out} share a group with test images or are copies of them; add "
            "images of other groups, or take the class out of both parts"
        )
    pairs = np.unique(np.stack([images.labels[split.develop], split.folds]), axis=1)
    judged = np.bincount(pairs[0], minlength=len(images.classes)) > 1
    if judged.sum() < 2:
        which = few([images.classes[i] for i in np.flatnonzero(judged)]) or "none"
        raise DataError(
            "at least two classes must have two images each (in different groups) to develop on, so that a classifier "
            f"can be judged on classes that it has learned, but of {len(count)} classes {which} has; add images"
        )
    if len(split.develop) < folds:
        raise DataError(
            f"at least {folds} images must be left to develop on, but {len(split.develop)} are "
            f"({len(split.left_out)} share a group with the test part); add images or lower --folds"
        )


def _with_those_of_split(checked: CheckedImages, split: Split, fraction: float) -> tuple[Finding, ...]:
    """Return the findings of images and split; likely groups that straddle it are said once."""
    straddle = straddling(checked.images, checked.proposals, split)
    advised = {one.do for one in straddle}
    findings = [one for one in checked.findings if one.code != "G110" or one.do not in advised]
    return (*findings, *straddle, *_left_out(checked, split), *_tested(checked, split, fraction))


def _left_out(checked: CheckedImages, split: Split) -> list[Finding]:
    """G109, where an earlier run gave the split; where the data did, ``images.check`` has said it."""
    if checked.images.parts is not None or not len(split.left_out):
        return []
    because = (
        f"{len(split.left_out)} of {len(split.left_out) + len(split.develop)} training images share a group with test "
        "images of the run whose split it is; the test part is not changed, these are not used for training"
    )
    return [finding("G109", because, examples=[checked.images.names[row] for row in split.left_out])]


def _tested(checked: CheckedImages, split: Split, fraction: float) -> list[Finding]:
    """G143 and G124: what a test part that was drawn does not test; of one that was given its reader has said so."""
    images = checked.images
    if images.parts is not None or fraction == 0:
        return []
    if not len(split.test):
        groups = len(np.unique(checked.groups))
        whole = counted(len(images), "image") + (f" in {counted(groups, 'group')}" if groups < len(images) else "")
        do = "a larger share, --test FOLDER with other images, or images of other groups"
        return [finding("G143", f"a share of {fraction:g} of {whole} leaves none to test on", do=do)]
    several = np.bincount(images.labels, minlength=len(images.classes)) > 1  # G116 has said it of the others
    several[images.labels[split.test]] = False
    untested = [images.classes[label] for label in np.flatnonzero(several)]
    if not untested:
        return []
    because = f"{few(untested)}: trained on, but not measured by any test image (too few images, or too few groups)"
    return [finding("G124", because, count=len(untested))]


def _earlier_sides(images: ImageSet, run: Path) -> Ints:
    """(n,) 0 or 1 where an earlier run developed or tested on an image, -1 where it is new."""
    table = read_run(run).images
    side = {"develop": 0, "test": 1, "left out": -1}
    known = {digest: side[part] for digest, part in zip(table.digests, table.parts, strict=True)}
    return np.array([known.get(str(digest), -1) for digest in images.digests])


def _counts(values: NDArray[np.str_]) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}
