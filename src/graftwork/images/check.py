"""What is wrong with a set of images, judged from one look at each; no image is opened here.

Codes: G101 unreadable, G102 wrong suffix, G103 exact copies, G104 exact copies with different labels, G105 near-duplicates,
G106 near-duplicates with different labels, G107 a large part is near-duplicates of one another, G108 copies across given parts,
G109 told groups across given parts, G110 likely groups, G111 tiny, G112 huge, G113 imbalance, G114 more than 8 bits,
G115 pages or frames, G116 classes of one image, G117 one class only, G118 likely series, G119 colours of 16 bits; G201
likely groups across a split. G121 to G129 come from reading.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Ints
from graftwork.core.findings import PAIR, Finding, Severity
from graftwork.core.splits import Split, joined_groups
from graftwork.errors import DataError, UsageError
from graftwork.images.groups import Proposal, partition, propose_groups
from graftwork.images.imageset import ImageSet
from graftwork.images.listing import EXAMPLES, few
from graftwork.images.measurements import NARROWED, Measurements, intensity_range
from graftwork.images.near_duplicates import NearDuplicates, near_duplicates
from graftwork.images.series import find_series

Marks = NDArray[np.bool_]

HUGE_TIMES = 4
"""An image is huge when its shorter side is more than so many times the network's input."""
LARGE_SHARE = 0.05
SERIES = "series"
"""What to say for groups where no name tells, but pictures seem to come in series."""
MOST_NAMED = 1000
"""Unreadable images that a finding names: people mend them one by one."""
_IMBALANCE = 4
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Problems:
    """What was found, and what follows from it for a split."""

    findings: tuple[Finding, ...]
    usable: Ints
    """Indices of images that can be read and whose label is not contradicted by an exact copy."""
    groups: Ints
    """(len(usable),) what stays on one side: told groups, exact copies and near-duplicates, joined."""
    near: NearDuplicates
    """Near-duplicates among the usable images, exact ones included."""
    proposals: tuple[Proposal, ...]
    """Likely groups that were not told."""
    series: Ints | None
    """(len(usable),) a wider grouping for a pessimistic figure; None where groups are told, or nothing points to
    series."""


def check(images: ImageSet, measurements: Measurements, *, input_px: int = 224, join_series: bool = False) -> Problems:
    """Judge a set of images before any training.

    Parameters
    ----------
    join_series
        Likely series are believed: each stands on one side.

    Raises
    ------
    DataError
        When no image can be read.
    UsageError
        When series are to be joined and there are none.
    """
    if not measurements.readable.any():
        raise DataError(
            f"at least one image of {images.root} must be readable, but none of {len(images)} is: "
            f"{images.names[0]} {measurements.error[0]}"
        )
    conflicting = _conflicting(images, measurements)
    usable = np.flatnonzero(measurements.readable & ~conflicting)
    if not len(usable):
        raise DataError(f"every image of {images.root} is there with two labels: correct them")
    kept, seen = images.take(usable), measurements.take(usable)
    near = near_duplicates(seen, kept.labels)
    copies = joined_groups(len(kept), partition(kept.digests), near.groups)
    groups = copies if kept.groups is None else joined_groups(len(kept), copies, partition(kept.groups))
    proposals = propose_groups(kept, seen)
    series = find_series(seen, kept.labels, near) if kept.groups is None else None
    told_of = _series(kept, series)
    if join_series:
        if series is None:
            raise UsageError(f"--group-by {SERIES} needs images that come in series, but none seem to; leave it out")
        groups, series, told_of = joined_groups(len(kept), groups, series), None, []
    findings = [
        *_unreadable(images, measurements),
        *_wrong_suffix(images, measurements),
        *_exact(kept),
        *_conflicting_finding(images, conflicting),
        *_near(kept, near, copies),
        *_across_parts(kept, copies),
        *_proposed(proposals),
        *told_of,
        *_sizes(kept, seen, input_px),
        *_depth(kept, seen),
        *_narrowed(kept, seen),
        *_pages(kept, seen),
        *_counts(kept),
    ]
    return Problems(tuple(findings), usable, groups, near, proposals, series)


def straddling(images: ImageSet, measurements: Measurements, split: Split) -> tuple[Finding, ...]:
    """Warnings about likely groups, not told, that stand on both sides of a split."""
    found = []
    for proposal in propose_groups(images, measurements):
        number = partition(proposal.groups)
        judged = split.test if len(split.test) else split.develop  # without a test part the folds test
        both = (
            np.intersect1d(number[split.develop], number[split.test])
            if len(split.test)
            else _in_several(number[split.develop], split.folds)
        )
        if not len(both):
            continue
        at_stake = judged[np.isin(number[judged], both)]
        because = (
            f"{len(both)} likely groups have images on both sides, {len(at_stake)} of {len(judged)} images that test "
            f"among them: the figure may be optimistic. {_evidence_in_words(proposal)}"
        )
        do = f"--group-by '{proposal.group_by}'"
        names = [images.names[i] for i in at_stake]
        found.append(_finding("G201", "warning", "likely groups straddle the split", because, do, names))
    return tuple(found)


def _in_several(number: Ints, folds: Ints) -> Ints:
    """Groups with images in more than one fold."""
    groups = np.unique(np.stack([number, folds]), axis=1)[0]
    found: Ints = np.flatnonzero(np.bincount(groups) > 1)
    return found


def _finding(
    code: str, severity: Severity, title: str, because: str, do: str = "", names: Sequence[str] = (), count: int = 0
) -> Finding:
    return Finding(code, severity, title, because, do, count=count or len(names), examples=tuple(names[:EXAMPLES]))


def _names(images: ImageSet, marked: Marks | Ints) -> list[str]:
    index = np.flatnonzero(marked) if marked.dtype == bool else marked
    return [images.names[i] for i in index]


def _unreadable(images: ImageSet, measurements: Measurements) -> list[Finding]:
    names = _names(images, ~measurements.readable)
    if not names:
        return []
    first = int(np.flatnonzero(~measurements.readable)[0])
    because = (
        f"{len(names)} of {len(images)} images cannot be decoded and are left out; the first, {names[0]}, "
        f"{measurements.error[first]}"
    )
    found = _finding("G101", "warning", "unreadable images", because, "replace or remove them", names)
    return [dataclasses.replace(found, examples=tuple(names[:MOST_NAMED]))]


def _wrong_suffix(images: ImageSet, measurements: Measurements) -> list[Finding]:
    wrong = []
    for name, format in zip(images.names, measurements.format.tolist(), strict=True):
        suffix = os.path.splitext(name)[1].lower()
        if format in _SUFFIXES and "#" not in suffix and suffix not in _SUFFIXES[format]:
            wrong.append(f"{name} ({format})")
    if not wrong:
        return []
    because = f"{len(wrong)} files are of another format than their names say; the content is believed"
    return [_finding("G102", "note", "wrong suffixes", because, "rename them for other programs' sake", wrong)]


def _conflicting(images: ImageSet, measurements: Measurements) -> Marks:
    """(n,) exact copies with different labels; those in a given test part stay, since it is never changed."""
    digest = partition(images.digests)
    labels_of = np.unique(np.stack([digest, images.labels]), axis=1)[0]
    conflicting = (np.bincount(labels_of) > 1)[digest] & measurements.readable
    return np.asarray(conflicting if images.parts is None else conflicting & (images.parts != "test"), np.bool_)


def _conflicting_finding(images: ImageSet, conflicting: Marks) -> list[Finding]:
    if not conflicting.any():
        return []
    digest = partition(images.digests)
    order = np.flatnonzero(conflicting)[np.argsort(digest[conflicting], kind="stable")]
    because = f"{int(conflicting.sum())} images are exact copies of images with another label, and are left out"
    names = _names(images, order)
    return [_finding("G104", "warning", "one image, two labels", because, "correct their labels", names)]


def _exact(images: ImageSet) -> list[Finding]:
    digest = partition(images.digests)
    copied = (np.bincount(digest) > 1)[digest]
    if not copied.any():
        return []
    extra = int(copied.sum() - len(np.unique(digest[copied])))
    order = np.flatnonzero(copied)[np.argsort(digest[copied], kind="stable")]
    because = f"{extra} images are exact copies of others; copies stand on one side of every split"
    return [_finding("G103", "note", "exact copies", because, "", _names(images, order), extra)]


def _pairs(images: ImageSet, pairs: Ints) -> list[str]:
    return [f"{images.names[a]}{PAIR}{images.names[b]}" for a, b in pairs]


def _near(images: ImageSet, near: NearDuplicates, copies: Ints) -> list[Finding]:
    found: list[Finding] = []
    alike = np.unique(near.pairs)
    if len(alike):
        because = (
            f"{len(alike)} of {len(images)} images have a near-duplicate (likeness {near.threshold:.2f} or more); "
            "near-duplicates stand on one side of every split"
        )
        found.append(_finding("G105", "note", "near-duplicates", because, "", _pairs(images, near.pairs), len(alike)))
    one, other = images.labels[near.pairs].T
    conflicting = near.pairs[one != other]
    if len(conflicting):
        because = f"{len(conflicting)} pairs of near-duplicates have different labels: one label may be wrong"
        pairs = _pairs(images, conflicting)
        found.append(
            _finding("G106", "warning", "near-duplicates with different labels", because, "look at them", pairs)
        )
    size = np.bincount(copies)
    if size.max() > max(2, LARGE_SHARE * len(images)):
        largest = copies == int(size.argmax())
        because = (
            f"{int(size.max())} of {len(images)} images hang together as near-duplicates, and all stand on one side: "
            "frames of one film, or pictures too alike to tell"
        )
        names = _names(images, largest)
        found.append(_finding("G107", "warning", "one large group of near-duplicates", because, "look at them", names))
    return found


def _across_parts(images: ImageSet, copies: Ints) -> list[Finding]:
    if images.parts is None:
        return []
    test = images.parts == "test"
    found = []
    for code, groups, title, what in (
        ("G108", copies, "copies across the given split", "are copies, exact or near, of test images"),
        ("G109", images.groups, "groups across the given split", "share a group with test images"),
    ):
        if groups is None:
            continue
        leaking = ~test & np.isin(groups, groups[test])
        if leaking.any():
            because = (
                f"{int(leaking.sum())} of {int((~test).sum())} training images {what}; the test part is not changed, "
                "these are left out of training"
            )
            found.append(_finding(code, "warning", title, because, "", _names(images, leaking)))
    return found


def _proposed(proposals: tuple[Proposal, ...]) -> list[Finding]:
    found = []
    for proposal in proposals:
        because = f"{proposal.words}. {_evidence_in_words(proposal)}"
        do = f"--group-by '{proposal.group_by}'"
        found.append(_finding("G110", "warning", "images may belong together", because, do, count=proposal.n_groups))
    return found


def _series(images: ImageSet, series: Ints | None) -> list[Finding]:
    if series is None:
        return []
    size = np.bincount(series)
    within = (size > 1)[series]
    because = (
        f"{int(within.sum())} of {len(images)} images seem to belong to {int((size > 1).sum())} series of about "
        f"{int(np.median(size[size > 1]))} (frames of one film, shots of one object): a random split is optimistic"
    )
    return [_finding("G118", "warning", "likely series", because, f"--group-by {SERIES}", count=int(within.sum()))]


def _evidence_in_words(proposal: Proposal) -> str:
    return (
        "An image is more alike to one of its group than to another of its class in "
        f"{100 * proposal.advantage:.0f} % of comparisons (chance: 50 %)"
    )


def _sizes(images: ImageSet, measurements: Measurements, input_px: int) -> list[Finding]:
    shorter = np.minimum(measurements.width, measurements.height)
    found = []
    tiny = shorter < input_px / 4
    if tiny.any():
        because = (
            f"the shorter side of {int(tiny.sum())} images is below a quarter of the network's {input_px} px "
            f"(median of these: {int(np.median(shorter[tiny]))} px): enlarging adds nothing"
        )
        do = "a smaller --input-px is faster and often as good"
        found.append(_finding("G111", "note", "tiny images", because, do, _names(images, tiny)))
    huge = shorter > HUGE_TIMES * input_px
    if huge.any():
        median = float(np.median(shorter[huge]))
        because = (
            f"the shorter side of {int(huge.sum())} images is more than {HUGE_TIMES} times the network's {input_px} px "
            f"(median of these: {median:.0f} px): an object of a twentieth of the side is {input_px / 20:.0f} px there"
        )
        do = "--input-px N, or crop to the object"
        found.append(_finding("G112", "note", "huge images", because, do, _names(images, huge)))
    return found


def _depth(images: ImageSet, measurements: Measurements) -> list[Finding]:
    deep = measurements.bits > 8
    if not deep.any():
        return []
    limits = intensity_range(
        measurements if images.parts is None else measurements.take(np.flatnonzero(images.parts != "test"))
    )
    range_ = f"{limits[0]:g} to {limits[1]:g}" if limits else "taken from images to develop on"
    because = f"{int(deep.sum())} of {len(images)} images; all are read with one intensity range ({range_})"
    do = "--intensity dtype|image for another one"
    return [_finding("G114", "note", "more than 8 bits a channel", because, do, _names(images, deep))]


def _narrowed(images: ImageSet, measurements: Measurements) -> list[Finding]:
    narrowed = np.char.endswith(measurements.mode, NARROWED) & (
        measurements.bits == 8
    )  # not I;16, which is read in full
    if not narrowed.any():
        return []
    because = (
        f"{int(narrowed.sum())} of {len(images)} images hold 16 bits a colour, of which the upper 8 are read: what a "
        "camera measured with 12 bits shows as at most 15 of 255"
    )
    do = "convert them to 8 bits with one common range, or to 16-bit grey, which is read in full"
    return [_finding("G119", "warning", "colours of 16 bits", because, do, _names(images, narrowed))]


def _pages(images: ImageSet, measurements: Measurements) -> list[Finding]:
    several = measurements.frames > 1
    if not several.any():
        return []
    because = (
        f"{int(several.sum())} files hold up to {int(measurements.frames.max())} pages or frames; the first one is read"
    )
    return [_finding("G115", "note", "several pages or frames", because, "", _names(images, several))]


def _counts(images: ImageSet) -> list[Finding]:
    labels = images.labels[images.labels >= 0]
    if not len(labels):
        return []
    count = np.bincount(labels, minlength=len(images.classes))
    there = np.flatnonzero(count)
    if len(there) == 1:
        because = f"all {len(labels)} images are of the class `{images.classes[there[0]]}`"
        return [_finding("G117", "error", "one class only", because, "put each class in a folder of its own")]
    found = []
    lone = [images.classes[i] for i in there if count[i] == 1]
    if lone:
        because = f"{few(lone)}: with one image a class is either learnt or tested"
        do = "add images, or merge the class"
        found.append(_finding("G116", "warning", "classes of one image", because, do, lone))
    least, most = int(count[there].min()), int(count.max())
    if most > _IMBALANCE * least:
        because = (
            f"`{images.classes[int(count.argmax())]}` has {most} images, "
            f"`{images.classes[int(there[count[there].argmin()])]}` {least}: accuracy hardly notices a small class"
        )
        do = "--metric balanced-accuracy"
        found.append(_finding("G113", "note", "imbalance", because, do, count=most))
    return found
