"""Groups that the user did not give: proposed from columns, folders and the names of files, with evidence.

A pattern in names is only a guess until the images of its groups are more similar than others of their class. So each
candidate is judged by pixels, in a triplet test (anchor, positive of the same group, negative of the same class but
another group), and names that mean nothing (``cat.109.jpg``) propose nothing.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Ints
from graftwork.core.splits import numbered
from graftwork.images.imageset import ImageSet
from graftwork.images.measurements import Measurements, layout, light
from graftwork.images.read import column_groups, first_capture, with_lone_images

GROUP_WORDS = re.compile(
    r"(?i)^(patient|subject|person|case|slide|smear|track|video|clip|scene|session|series|study|specimen|sample|animal|"
    r"individual|plot|plate|well|location|site|camera|group|sequence|recording)s?(_?(id|no|nr|number|name))?$"
)
"""Words that name what images have in common: a column or prefix of such a name is proposed without evidence."""
_LEAST_GROUPS = 5
_LEAST_ADVANTAGE = 0.6
_LEAST_Z = 4.5
_SHAPE_SHARE = 0.05
"""A shape of names that a smaller share of the images has is ignored."""


@dataclasses.dataclass(frozen=True, eq=False)
class Proposal:
    """A way to group the images, with the evidence for it."""

    group_by: str
    """What to type after ``--group-by``: a column or a regular expression."""
    groups: NDArray[np.str_]
    """(n,) the group of each image."""
    n_groups: int
    """Groups of at least two images."""
    typical_size: int
    """Median size of these."""
    advantage: float
    """Share of triplets in which the positive is closer to the anchor than the negative is; 0.5 is chance."""
    z: float
    """Number of standard errors, over groups, by which the advantage is above chance."""

    @property
    def words(self) -> str:
        r"""Such as ``24 groups of 25: `--group-by '(slide\d+)'```."""
        return f"{self.n_groups} groups of {self.typical_size}: `--group-by '{self.group_by}'`"


def propose_groups(images: ImageSet, measurements: Measurements, seed: int = 0) -> tuple[Proposal, ...]:
    """Likely groups, columns first, then those with the best evidence; none where names, folders and columns show none.

    Groups that the user gave, or that another proposal keeps together, are not proposed again.
    """
    judge = _Judge(images, measurements, seed)
    candidates = [*_from_columns(images, judge), *_from_folders(images, judge), *_from_names(images, judge)]
    known = [] if images.groups is None else [numbered(images.groups)]
    proposals = []
    for proposal in sorted(candidates, key=lambda p: (p.group_by not in images.columns, -p.z)):
        number = numbered(proposal.groups)
        if not any(_refined_by(groups, number) for groups in known):
            proposals.append(proposal)
            known.append(number)
    return tuple(proposals)


class _Judge:
    """Whether a partition is of plausible size, and whether its groups are more similar than their classes."""

    def __init__(self, images: ImageSet, measurements: Measurements, seed: int) -> None:
        self._n = len(images)
        self._labels = images.labels
        self._seed = seed
        self._measurements = measurements
        self._light: NDArray[np.float32] | None = None  # computed for the first candidate; most sets have none

    def plausible(self, number: Ints) -> bool:
        """Whether there are several groups of several images, finer than the classes and none of them huge."""
        size = np.bincount(number)
        grouped = size[number] > 1
        classes = len(np.unique(self._labels[grouped]))
        return bool((size > 1).sum() >= max(_LEAST_GROUPS, 2 * classes) and size.max() <= self._n // 4)

    def proposal(self, group_by: str, groups: NDArray[np.str_], named: bool = False) -> Proposal | None:
        """The proposal, or None where it is implausible or without evidence (``named``: none is needed)."""
        number = numbered(groups)
        several = (size := np.bincount(number))[size > 1]
        if not self.plausible(number) or several.sum() < 0.1 * self._n:
            return None
        advantage, z = self.evidence(number)
        if not named and not self.convinces(advantage, z):
            return None
        return Proposal(group_by, groups, len(several), int(np.median(several)), round(advantage, 3), round(z, 1))

    @staticmethod
    def convinces(advantage: float, z: float) -> bool:
        """Whether the evidence is strong enough to be reported."""
        return advantage >= _LEAST_ADVANTAGE and z >= _LEAST_Z

    def crosses(self, number: Ints) -> bool:
        """Whether groups hold one class each, or their similarity goes beyond the class: one slide, one day."""
        pairs = np.unique(np.stack([number, self._labels]), axis=1)
        return pairs.shape[1] == number.max() + 1 or self.evidence(number, across=True)[1] >= _LEAST_Z / 2

    def evidence(self, number: Ints, apart: Ints | None = None, across: bool = False) -> tuple[float, float]:
        """Share of triplets in which the positive is closer to the anchor than the negative is, and its z over groups.

        Parameters
        ----------
        apart
            A finer partition: only positives that it separates from their anchor count.
        across
            Take positives of another class than the anchor instead of the same.
        """
        anchor, positive, negative = _triplets(number, self._labels, apart, across, np.random.default_rng(self._seed))
        groups = number[anchor]
        if len(np.unique(groups)) < _LEAST_GROUPS:
            return 0.5, 0.0
        if self._light is None:
            self._light = light(self._measurements, self._labels)
        by_light = [self._light[images] for images in (anchor, positive, negative)]
        by_layout = [layout(self._measurements.pixels16[images]) for images in (anchor, positive, negative)]
        best = (0.5, 0.0)
        for image, near_one, far_one in (by_light, by_layout):
            near, far = np.square(image - near_one).sum(axis=1), np.square(image - far_one).sum(axis=1)
            wins = (near < far) + 0.5 * (near == far)
            by_group = np.bincount(groups, wins)[np.unique(groups)] / np.bincount(groups)[np.unique(groups)]
            error = np.sqrt(max(by_group.var(ddof=1), 0.05) / len(by_group))
            best = max(best, (float(by_group.mean()), float((by_group.mean() - 0.5) / error)), key=lambda e: e[1])
        return best


def _triplets(
    number: Ints, labels: Ints, apart: Ints | None, across: bool, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """About 4,000 of (anchor, positive of its group, negative of the positive's class but another group)."""
    by_group, by_class = np.argsort(number, kind="stable"), np.argsort(labels, kind="stable")
    group_begin, group_size = _extent(number, by_group)
    class_begin, class_size = _extent(labels, by_class)
    images = np.flatnonzero(group_size > 1)
    anchor = rng.choice(images, 12_000) if len(images) else images
    positive = by_group[group_begin[anchor] + rng.integers(0, group_size[anchor])]
    negative = by_class[class_begin[positive] + rng.integers(0, class_size[positive])]
    good = (positive != anchor) & (number[negative] != number[anchor])
    good &= (labels[positive] != labels[anchor]) == across
    if apart is not None:
        good &= apart[positive] != apart[anchor]
    good = np.flatnonzero(good)[:4000]
    return anchor[good], positive[good], negative[good]


def _extent(number: Ints, order: Ints) -> tuple[Ints, Ints]:
    """(n,) where the images of each image's kind begin in the order, and how many there are."""
    begin = np.searchsorted(number[order], number, "left")
    return begin, np.searchsorted(number[order], number, "right") - begin


def _from_columns(images: ImageSet, judge: _Judge) -> Iterator[Proposal]:
    for name, values in images.columns.items():
        groups = with_lone_images(column_groups(values), images.names)
        proposal = judge.proposal(name, groups, named=bool(GROUP_WORDS.match(name)))
        if proposal is not None:
            yield proposal


def _from_folders(images: ImageSet, judge: _Judge) -> Iterator[Proposal]:
    pattern = r"([^/]+)/[^/]+$"
    folders = [first_capture(re.compile(pattern), name) or name for name in images.names]
    proposal = judge.proposal(pattern, np.array(folders, np.str_))
    if proposal is not None:
        yield proposal


@dataclasses.dataclass(frozen=True)
class _Token:
    kind: str
    """``digits``, ``letters``, ``mixed`` (an identifier) or ``mark`` (what separates)."""
    text: str


def _tokens(stem: str) -> tuple[_Token, ...]:
    """``person12_a-3`` in letters, digits and marks; an identifier such as ``aad5c608f9`` stays one token."""
    tokens: list[_Token] = []
    for field in re.split(r"([-_. #()]+)", stem):
        parts = re.findall(r"\d+|[^\W\d_]+", field)
        if not parts:
            tokens += [_Token("mark", field)] if field else []
        elif len(parts) > 2 or "".join(parts) != field:
            tokens.append(_Token("mixed", field))
        else:
            tokens += [_Token("digits" if part.isdigit() else "letters", part) for part in parts]
    return tuple(tokens)


def _from_names(images: ImageSet, judge: _Judge) -> Iterator[Proposal]:
    """The best part of each shape of names; of several shapes one pattern for all."""
    stems = [name.rsplit("/", 1)[-1].rsplit(".", 1)[0] for name in images.names]
    by_shape: dict[tuple[str, ...], list[tuple[_Token, ...]]] = {}
    for tokens in map(_tokens, stems):
        by_shape.setdefault(tuple(t.text if t.kind == "mark" else t.kind for t in tokens), []).append(tokens)
    best: dict[str, str] = {}  # pattern without and with what follows it
    for rows in sorted(by_shape.values(), key=len, reverse=True):
        if len(rows) < max(2 * _LEAST_GROUPS, _SHAPE_SHARE * len(stems)):
            break
        columns = list(zip(*rows, strict=True))
        pattern_pair = _best(_beginnings(columns), images, judge) or _best(_fields(columns), images, judge)
        if pattern_pair is not None:
            best.setdefault(*pattern_pair)
    if len(best) == 1:
        pattern = next(iter(best.values()))
    elif best:
        pattern = f"^({'|'.join(sorted(best, key=len, reverse=True))})"
    else:
        return
    for full in (pattern, _with_folder(pattern)):
        groups = _grouped(images, full)
        proposal = judge.proposal(full, groups, named=_names_groups(full))
        if proposal is not None and judge.crosses(numbered(groups)):
            yield proposal
            return


def _with_folder(pattern: str) -> str:
    """The pattern with the folder in its capture, for numbers that begin anew in each class."""
    return "([^/]+/" + pattern.removeprefix("^").removeprefix("(")


def _beginnings(columns: list[tuple[_Token, ...]]) -> list[tuple[str, str]]:
    """Patterns for beginnings of names of one shape, the shortest first: bare, and with capture and what follows."""
    texts = [_rendered(column) for column in columns]
    patterns = []
    for end in range(1, len(texts)):
        if columns[end - 1][0].kind != "mark":
            bare = "".join(texts[:end])
            follows = texts[end] if columns[end][0].kind == "mark" else ""
            patterns.append((bare, f"^({bare}){follows}"))
    return patterns


def _fields(columns: list[tuple[_Token, ...]]) -> list[tuple[str, str]]:
    r"""Patterns for a word and its number further back in the name, such as ``(slide\d+)``."""
    kinds = [column[0].kind for column in columns]
    texts = [_rendered(column) for column in columns]
    patterns = []
    for i in range(1, len(texts) - 1):
        constant = len({token.text for token in columns[i]}) == 1
        if kinds[i] == "letters" and constant and kinds[i + 1] == "digits":
            patterns.append((texts[i] + texts[i + 1], f"({texts[i]}{texts[i + 1]})"))
    return patterns


def _rendered(column: tuple[_Token, ...]) -> str:
    """One place of the names of a shape as a regular expression."""
    kind, texts = column[0].kind, {token.text for token in column}
    if kind == "digits":
        return r"\d+"
    if len(texts) == 1:
        return re.escape(column[0].text).replace(r"\-", "-")
    return r"[^\W\d_]+" if kind == "letters" else "[^-_. ]+"


def _best(patterns: list[tuple[str, str]], images: ImageSet, judge: _Judge) -> tuple[str, str] | None:
    """The coarsest pattern in whose groups even images that a finer one separates are more similar."""
    # each class by itself: whether groups reach beyond classes is tested at the end
    groupings = [np.char.add(_grouped(images, full), images.labels.astype(np.str_)) for _, full in patterns]
    for i, (pattern, groups) in enumerate(zip(patterns, groupings, strict=True)):
        number = numbered(groups)
        if not judge.plausible(number):
            continue
        finer = [f for g in groupings[i + 1 :] if judge.plausible(f := numbered(g)) and not np.array_equal(f, number)]
        if _names_groups(pattern[0]) or judge.convinces(*judge.evidence(number, finer[0] if finer else None)):
            return pattern
    return None


def _names_groups(pattern: str) -> bool:
    """Whether the word before the pattern's last number says what the images have in common."""
    words = re.findall(r"([^\W\d_]+)[-_ ]?\\d\+", pattern)
    return bool(words) and bool(GROUP_WORDS.match(words[-1]))


def _grouped(images: ImageSet, pattern: str) -> NDArray[np.str_]:
    """(n,) first capture of each name; an image whose name has none is a group of its own."""
    compiled = re.compile(pattern)
    return with_lone_images([first_capture(compiled, name) for name in images.names], images.names)


def _refined_by(given: Ints, proposed: Ints) -> bool:
    """Whether the given groups already keep every proposed group together."""
    pairs = np.unique(np.stack([proposed, given]), axis=1)
    return bool(len(np.unique(pairs[0])) == pairs.shape[1])
