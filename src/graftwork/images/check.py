"""What is wrong with a set of images, judged from what was measured on each; no image is opened here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from graftwork.core.arrays import Ints, Mask
from graftwork.core.figures import counted
from graftwork.core.findings import PAIR, Finding, finding
from graftwork.core.options import SERIES
from graftwork.core.splits import Split, joined_groups, numbered
from graftwork.errors import DataError, UsageError
from graftwork.images.filekinds import SUFFIXES, suffix_of
from graftwork.images.groups import Proposal, propose_groups
from graftwork.images.imageset import ImageSet
from graftwork.images.listing import few
from graftwork.images.measurements import NARROWED, Measurements, intensity_range
from graftwork.images.near_duplicates import NearDuplicates, near_duplicates
from graftwork.images.series import find_series

HUGE_TIMES = 4
"""An image is huge when its shorter side is more than this multiple of the network's input."""
LARGE_SHARE = 0.05
MAX_UNREADABLE = 1000
"""Maximum number of unreadable images that a finding names: people repair them one by one."""
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
    "HEIF": (".heic", ".heif"),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Problems:
    """Findings about a set of images, and what follows from them for a split."""

    findings: tuple[Finding, ...]
    usable: Ints
    """Indices of images that can be decoded and have no exact copy with another label."""
    groups: Ints
    """(len(usable),) images of one number stay on one side: given groups, exact copies and near-duplicates, joined."""
    near: NearDuplicates
    """Near-duplicates among the usable images, exact copies included."""
    proposals: tuple[Proposal, ...]
    """Likely groups that were not given."""
    series: Ints | None
    """(len(usable),) a wider grouping for a pessimistic figure; None where groups are given, or nothing points to
    series."""


def check(images: ImageSet, measurements: Measurements, *, input_px: int = 224, join_series: bool = False) -> Problems:
    """Judge a set of images before any training.

    Parameters
    ----------
    join_series
        Likely series are taken as groups: each stays on one side.

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
        raise DataError(f"every image of {images.root} has an exact copy with another label: correct the labels")
    good, measured = images.take(usable), measurements.take(usable)
    near = near_duplicates(measured, good.labels)
    copies = joined_groups(len(good), numbered(good.digests), near.groups)
    groups = copies if good.groups is None else joined_groups(len(good), copies, numbered(good.groups))
    proposals = propose_groups(good, measured)
    series = find_series(measured, good.labels, near) if good.groups is None else None
    series_findings = [] if proposals else _series(good, series)  # names say better which images belong together
    if join_series:
        if series is None:
            raise UsageError(f"--group-by {SERIES} needs images that come in series, but none seem to; leave it out")
        groups, series, series_findings = joined_groups(len(good), groups, series), None, []
    findings = [
        *_unreadable(images, measurements),
        *_wrong_suffix(images, measurements),
        *_exact(good),
        *_conflicting_finding(images, conflicting),
        *_emptied(images, good),
        *_near(good, near, copies),
        *_across_parts(good, copies),
        *_proposed(proposals),
        *series_findings,
        *_sizes(good, measured, input_px),
        *_depth(good, measured),
        *_stored(good, measured),
        *_warned(good, measured),
        *_counts(good),
    ]
    return Problems(tuple(findings), usable, groups, near, proposals, series)


def straddling(images: ImageSet, proposals: Sequence[Proposal], split: Split) -> tuple[Finding, ...]:
    """G201: likely groups, not given, that have images on both sides of a split; says what G110 says of them, too."""
    findings = []
    for proposal in proposals:
        number = numbered(proposal.groups)
        testing = split.test if len(split.test) else split.develop  # without a test part the folds test
        both = (
            np.intersect1d(number[split.develop], number[split.test])
            if len(split.test)
            else _in_several(number[split.develop], split.folds)
        )
        if not len(both):
            continue
        concerned = testing[np.isin(number[testing], both)]
        because = (
            f"{len(both)} likely groups have images on both sides, {len(concerned)} of the {len(testing)} test images "
            f"among them: the score may be optimistic. {_evidence_in_words(proposal)}"
        )
        names = [images.names[i] for i in concerned]
        findings.append(finding("G201", because, do=_group_by(proposal), examples=names))
    return tuple(findings)


def _in_several(number: Ints, folds: Ints) -> Ints:
    """Groups with images in more than one fold."""
    groups = np.unique(np.stack([number, folds]), axis=1)[0]
    return np.asarray(np.flatnonzero(np.bincount(groups) > 1))


def _names(images: ImageSet, marked: Mask | Ints) -> list[str]:
    index = np.flatnonzero(marked) if marked.dtype == bool else marked
    return [images.names[i] for i in index]


def _unreadable(images: ImageSet, measurements: Measurements) -> list[Finding]:
    names = _names(images, ~measurements.readable)
    if not names:
        return []
    first = int(np.flatnonzero(~measurements.readable)[0])
    because = (
        f"{counted(len(names), 'image', of=len(images))} cannot be decoded and are not used; the first, {names[0]}, "
        f"{measurements.error[first]}"
    )
    return [finding("G101", because, do="replace or remove them", examples=names, named=MAX_UNREADABLE)]


def _wrong_suffix(images: ImageSet, measurements: Measurements) -> list[Finding]:
    wrong = []
    for name, format in zip(images.names, measurements.format.tolist(), strict=True):
        suffix = suffix_of(name)
        if format in _SUFFIXES and suffix in SUFFIXES and suffix not in _SUFFIXES[format]:
            wrong.append(f"{name} ({format})")
    if not wrong:
        return []
    because = f"{counted(len(wrong), 'file', 'has')} a name of another format than that of the content, which is used"
    return [finding("G102", because, do="rename them for other programs", examples=wrong)]


def _conflicting(images: ImageSet, measurements: Measurements) -> Mask:
    """(n,) exact copies with different labels; those in a given test part stay, since it is never changed."""
    digest = numbered(images.digests)
    labels_of = np.unique(np.stack([digest, images.labels]), axis=1)[0]
    conflicting = (np.bincount(labels_of) > 1)[digest] & measurements.readable
    return np.asarray(conflicting if images.parts is None else conflicting & (images.parts != "test"), np.bool_)


def _conflicting_finding(images: ImageSet, conflicting: Mask) -> list[Finding]:
    if not conflicting.any():
        return []
    digest = numbered(images.digests)
    order = np.flatnonzero(conflicting)[np.argsort(digest[conflicting], kind="stable")]
    because = (
        f"{counted(int(conflicting.sum()), 'image', 'is')} exact copies of images with another label, and are not used"
    )
    return [finding("G104", because, do="correct their labels", examples=_names(images, order))]


def _emptied(images: ImageSet, usable: ImageSet) -> list[Finding]:
    left = set(np.unique(usable.labels).tolist())
    emptied = [name for number, name in enumerate(images.classes) if number not in left]
    if not emptied:
        return []
    because = f"none of the images of {few(emptied)} can be used: no class is made of them"
    return [finding("G141", because, do="replace these images", count=len(emptied))]


def _exact(images: ImageSet) -> list[Finding]:
    digest = numbered(images.digests)
    copied = (np.bincount(digest) > 1)[digest]
    if not copied.any():
        return []
    extra = int(copied.sum() - len(np.unique(digest[copied])))
    order = np.flatnonzero(copied)[np.argsort(digest[copied], kind="stable")]
    because = f"{counted(extra, 'image', 'is')} exact copies of others; copies stay on one side of every split"
    return [finding("G103", because, examples=_names(images, order), count=extra)]


def _pairs(images: ImageSet, pairs: Ints) -> list[str]:
    return [f"{images.names[a]}{PAIR}{images.names[b]}" for a, b in pairs]


def _near(images: ImageSet, near: NearDuplicates, copies: Ints) -> list[Finding]:
    findings: list[Finding] = []
    alike = np.unique(near.pairs)
    if len(alike):
        have = counted(len(alike), "image", "has", of=len(images))
        because = (
            f"{have} a near-duplicate (likeness {near.threshold:.2f} or more); "
            "near-duplicates stay on one side of every split"
        )
        findings.append(finding("G105", because, examples=_pairs(images, near.pairs), count=len(alike)))
    one, other = images.labels[near.pairs].T
    conflicting = near.pairs[one != other]
    if len(conflicting):
        likeness = near.likeness[one != other]
        because = (
            f"{len(conflicting)} pairs of near-duplicates have different labels: one label may be wrong. Their pixels "
            f"correlate by {likeness.min():.3f} to {likeness.max():.3f} (the same picture: 1)"
        )
        findings.append(finding("G106", because, do="look at them", examples=_pairs(images, conflicting)))
    size = np.bincount(copies)
    if size.max() > max(2, LARGE_SHARE * len(images)):
        largest = copies == int(size.argmax())
        because = (
            f"{int(size.max())} of {len(images)} images are linked as near-duplicates and all stay on one side: frames "
            "of one film, or images that are too similar to tell apart"
        )
        findings.append(finding("G107", because, do="look at them", examples=_names(images, largest)))
    return findings


def _across_parts(images: ImageSet, copies: Ints) -> list[Finding]:
    if images.parts is None:
        return []
    test = images.parts == "test"
    findings = []
    for code, groups, what in (
        ("G108", copies, "are copies or near-duplicates of test images"),
        ("G109", images.groups, "share a group with test images"),
    ):
        if groups is None:
            continue
        leaking = ~test & np.isin(groups, groups[test])
        if leaking.any():
            because = (
                f"{int(leaking.sum())} of {int((~test).sum())} training images {what}; the test part is not changed, "
                "these are not used for training"
            )
            findings.append(finding(code, because, examples=_names(images, leaking)))
    return findings


def _proposed(proposals: tuple[Proposal, ...]) -> list[Finding]:
    return [
        finding(
            "G110",
            f"{proposal.words}. {_evidence_in_words(proposal)}",
            do=_group_by(proposal),
            count=proposal.n_groups,
        )
        for proposal in proposals
    ]


def _group_by(proposal: Proposal) -> str:
    return f"--group-by '{proposal.group_by}'"


def _series(images: ImageSet, series: Ints | None) -> list[Finding]:
    if series is None:
        return []
    size = np.bincount(series)
    within = (size > 1)[series]
    seem = counted(int(within.sum()), "image", "seems", of=len(images))
    because = (
        f"{seem} to belong to {int((size > 1).sum())} series of about "
        f"{int(np.median(size[size > 1]))} (frames of one film, shots of one object): a random split is optimistic"
    )
    return [finding("G118", because, do=f"--group-by {SERIES}", count=int(within.sum()))]


def _evidence_in_words(proposal: Proposal) -> str:
    return (
        "An image is more similar to one of its group than to another of its class in "
        f"{100 * proposal.advantage:.0f} % of comparisons (chance: 50 %)"
    )


def _sizes(images: ImageSet, measurements: Measurements, input_px: int) -> list[Finding]:
    shorter = np.minimum(measurements.width, measurements.height)
    findings = []
    tiny = shorter < input_px / 4
    if tiny.any():
        which = counted(int(tiny.sum()), "image")
        because = (
            f"the shorter side of {which} is below a quarter of the network's {input_px} px "
            f"(median of these: {int(np.median(shorter[tiny]))} px): enlarging adds nothing"
        )
        do = "a smaller --input-px is faster and often as good"
        findings.append(finding("G111", because, do=do, examples=_names(images, tiny)))
    huge = shorter > HUGE_TIMES * input_px
    if huge.any():
        median = float(np.median(shorter[huge]))
        which = counted(int(huge.sum()), "image")
        because = (
            f"the shorter side of {which} is more than {HUGE_TIMES} times the network's {input_px} px "
            f"(median of these: {median:.0f} px): an object of a twentieth of the side has {input_px / 20:.0f} px there"
        )
        findings.append(
            finding("G112", because, do="--input-px N, or crop to the object", examples=_names(images, huge))
        )
    return findings


def _depth(images: ImageSet, measurements: Measurements) -> list[Finding]:
    deep = measurements.bits > 8
    if not deep.any():
        return []
    develop = measurements if images.parts is None else measurements.take(np.flatnonzero(images.parts != "test"))
    limits = intensity_range(develop)
    range_ = f"{limits[0]:g} to {limits[1]:g}" if limits else "taken from the develop images"
    because = f"{int(deep.sum())} of {len(images)} images; all are scaled with one intensity range ({range_})"
    return [finding("G114", because, do="--intensity dtype|image for another one", examples=_names(images, deep))]


def _stored(images: ImageSet, measurements: Measurements) -> list[Finding]:
    """What is worth knowing about how images are stored: one rule a kind."""
    m = measurements
    narrowed = np.char.endswith(m.mode, NARROWED) & (m.bits == 8)  # not I;16, of which all bits count
    blank = (m.pixels16 == m.pixels16[:, :1, :1]).all(axis=(1, 2, 3)) & (m.sharpness == 0)
    rules = (
        (
            "G115",
            m.frames > 1,
            f"files have several pages or frames, {int(m.frames.max())} the longest; the first one is used",
            "",
        ),
        (
            "G119",
            narrowed,
            "images hold 16 bits per colour, of which the upper 8 are used: what a camera measured with 12 bits "
            "becomes 15 of 255 or less",
            "convert them to 8 bits with one common range, or to 16-bit grey, of which all bits are used",
        ),
        (
            "G120",
            m.transparent,
            "images are transparent in every pixel; their colours are used as if they were opaque",
            "look at one of them; save them without transparency if the colours are right",
        ),
        ("G144", m.bands > m.decoded_bands, _further_bands(m), "save the bands that matter as RGB"),
        ("G145", blank, "images show nothing but one colour", "look at them, and remove or replace them"),
        (
            "G147",
            m.no_data,
            "images have pixels without data (NaN, infinite, or a value that stands for none, such as -9999); these "
            "are black, and the intensity range is that of the others",
            "",
        ),
    )
    return [
        finding(code, f"{int(mask.sum())} of {len(images)} {because}", do=do, examples=_names(images, mask))
        for code, mask, because, do in rules
        if mask.any()
    ]


def _further_bands(measurements: Measurements) -> str:
    """Which bands are decoded of files that hold more."""
    kinds = np.unique(np.stack([measurements.bands, measurements.decoded_bands]), axis=1).T.tolist()
    read = [f"the first{f' {of}' if of > 1 else ''} of {bands}" for bands, of in kinds if bands > of]
    return f"files hold more bands than are read: {', '.join(read)}"


def _warned(images: ImageSet, measurements: Measurements) -> list[Finding]:
    """One finding for each kind of warning; its numbers make no kind."""
    kinds: dict[str, list[int]] = {}
    for i in np.flatnonzero(measurements.warning != ""):
        kinds.setdefault(re.sub(r"\d+", "", str(measurements.warning[i])), []).append(int(i))
    return [
        finding(
            "G146",
            f"{counted(len(of), 'image', 'is', of=len(images))} decoded, but with a warning; that for the first, "
            f"{images.names[of[0]]}: {str(measurements.warning[of[0]]).rstrip('.')}",
            do="look at one of them; save them anew if it looks right",
            examples=[images.names[i] for i in of],
        )
        for of in kinds.values()
    ]


def _counts(images: ImageSet) -> list[Finding]:
    labels = images.labels[images.labels >= 0]
    if not len(labels):
        because = f"{counted(len(images), 'image')} can be predicted, but nothing can be trained or tested on them"
        do = "to train, put the images of each class into a folder of its own, or list images and labels in a table"
        return [finding("G142", because, do=do, count=len(images))]
    count = np.bincount(labels, minlength=len(images.classes))
    present = np.flatnonzero(count)
    if len(present) == 1:
        because = f"all {len(labels)} images are of the class `{images.classes[present[0]]}`"
        return [finding("G117", because, do=f"add images of another class, or {images.to_separate_classes}")]
    findings = []
    lone = [images.classes[i] for i in present if count[i] == 1]
    if lone:
        because = f"{few(lone)}: the only image of a class is either for training or for the test"
        findings.append(finding("G116", because, do="add images, or merge the class", examples=lone))
    least, most = int(count[present].min()), int(count.max())
    if most > _IMBALANCE * least:
        because = (
            f"`{images.classes[int(count.argmax())]}` has {most} images, "
            f"`{images.classes[int(present[count[present].argmin()])]}` {least}: "
            "the accuracy hardly depends on a small class"
        )
        findings.append(finding("G113", because, do="--metric balanced-accuracy", count=most))
    return findings
