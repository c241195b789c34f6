"""Groups that the user did not tell: proposed from columns, folders and the names of files, with evidence.

A pattern in names is a mere guess until the images of its groups are more alike than others of their class. So each
candidate is judged by pixels, and names that mean nothing (``cat.109.jpg``) propose nothing.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from graftwork.images.imageset import ImageSet
from graftwork.images.measurements import Measurements, layout, light
from graftwork.images.read import first_capture

Ints = NDArray[np.int64]

TELLING = re.compile(
    r"(?i)^(patient|subject|person|case|slide|smear|track|video|clip|scene|session|series|study|specimen|sample|animal|"
    r"individual|plot|plate|well|location|site|camera|group|sequence|recording)s?(_?(id|no|nr|number|name))?$"
)
"""Words that name what images have in common: a column or prefix so called is proposed without evidence."""
_LEAST_GROUPS = 5
_LEAST_ADVANTAGE = 0.6
_LEAST_Z = 4.5
_SHAPE_SHARE = 0.05
"""A shape of names that fewer of the images have is not looked at."""


@dataclasses.dataclass(frozen=True, eq=False)
class Proposal:
    """A way to group the images, with what speaks for it."""

    group_by: str
    """What to type after ``--group-by``: a column or a regular expression."""
    groups: NDArray[np.str_]
    """(n,) the group of each image."""
    n_groups: int
    """Groups of at least two images."""
    typical_size: int
    """Median size of these."""
    advantage: float
    """How often a member of the group is more alike than another image of its class; 0.5 is chance."""
    z: float
    """By how many standard errors, over groups, the advantage is above chance."""

    @property
    def words(self) -> str:
        r"""For people: ``24 groups of 25: `--group-by '(slide\d+)'```."""
        return f"{self.n_groups} groups of {self.typical_size}: `--group-by '{self.group_by}'`"


def propose_groups(images: ImageSet, measurements: Measurements, seed: int = 0) -> tuple[Proposal, ...]:
    """Likely groups, columns first, then the best founded; none where names, folders and columns tell nothing.

    Groups that the user told already are not proposed again.
    """
    judge = _Judge(images, measurements, seed)
    found = [*_from_columns(images, judge), *_from_folders(images, judge), *_from_names(images, judge)]
    told = None if images.groups is None else partition(images.groups)
    kept: dict[bytes, Proposal] = {}
    for proposal in sorted(found, key=lambda p: (p.group_by not in images.columns, -p.z)):
        number = partition(proposal.groups)
        if told is None or not _refined_by(told, number):
            kept.setdefault(number.tobytes(), proposal)
    return tuple(kept.values())


class _Judge:
    """Whether a partition is of plausible size, and whether its groups are more alike than their classes."""

    def __init__(self, images: ImageSet, measurements: Measurements, seed: int) -> None:
        self._n = len(images)
        self._labels = images.labels
        self._seed = seed
        self._looks = measurements
        self._light: NDArray[np.float32] | None = None  # computed for the first candidate; most sets have none

    def plausible(self, number: Ints) -> bool:
        """Whether there are several groups of several images, finer than the classes and none of them huge."""
        size = np.bincount(number)
        grouped = size[number] > 1
        classes = len(np.unique(self._labels[grouped]))
        return bool((size > 1).sum() >= max(_LEAST_GROUPS, 2 * classes) and size.max() <= self._n // 4)

    def proposal(self, group_by: str, groups: NDArray[np.str_], named: bool = False) -> Proposal | None:
        """The proposal, or None where it is implausible or without evidence (``named``: none is needed)."""
        number = partition(groups)
        several = (size := np.bincount(number))[size > 1]
        if not self.plausible(number) or several.sum() < 0.1 * self._n:
            return None
        advantage, z = self.evidence(number)
        if not named and not self.convinces(advantage, z):
            return None
        return Proposal(group_by, groups, len(several), int(np.median(several)), round(advantage, 3), round(z, 1))

    @staticmethod
    def convinces(advantage: float, z: float) -> bool:
        """Whether the evidence is strong enough to speak of it."""
        return advantage >= _LEAST_ADVANTAGE and z >= _LEAST_Z

    def crosses(self, number: Ints) -> bool:
        """Whether groups hold one class each, or what is alike in them goes beyond the class: one slide, one day."""
        pairs = np.unique(np.stack([number, self._labels]), axis=1)
        return pairs.shape[1] == number.max() + 1 or self.evidence(number, across=True)[1] >= _LEAST_Z / 2

    def evidence(self, number: Ints, apart: Ints | None = None, across: bool = False) -> tuple[float, float]:
        """How often a fellow member is more alike than another image of the fellow's class, and its z over groups.

        With ``apart``, a finer partition, only fellows that it keeps apart count; ``across`` takes fellows of other
        classes instead of the same.
        """
        one, fellow, other = _triples(number, self._labels, apart, across, np.random.default_rng(self._seed))
        groups = number[one]
        if len(np.unique(groups)) < _LEAST_GROUPS:
            return 0.5, 0.0
        if self._light is None:
            self._light = light(self._looks, self._labels)
        by_light = [self._light[images] for images in (one, fellow, other)]
        by_layout = [layout(self._looks.pixels16[images]) for images in (one, fellow, other)]
        best = (0.5, 0.0)
        for image, member, stranger in (by_light, by_layout):
            near, far = np.square(image - member).sum(axis=1), np.square(image - stranger).sum(axis=1)
            wins = (near < far) + 0.5 * (near == far)
            by_group = np.bincount(groups, wins)[np.unique(groups)] / np.bincount(groups)[np.unique(groups)]
            error = np.sqrt(max(by_group.var(ddof=1), 0.05) / len(by_group))
            best = max(best, (float(by_group.mean()), float((by_group.mean() - 0.5) / error)), key=lambda e: e[1])
        return best


def _triples(
    number: Ints, labels: Ints, apart: Ints | None, across: bool, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """About 4,000 of (image, member of its group, image of that member's class but another group)."""
    by_group, by_class = np.argsort(number, kind="stable"), np.argsort(labels, kind="stable")
    group_begin, group_size = _extent(number, by_group)
    class_begin, class_size = _extent(labels, by_class)
    images = np.flatnonzero(group_size > 1)
    one = rng.choice(images, 12_000) if len(images) else images
    fellow = by_group[group_begin[one] + rng.integers(0, group_size[one])]
    other = by_class[class_begin[fellow] + rng.integers(0, class_size[fellow])]
    good = (fellow != one) & (number[other] != number[one]) & ((labels[fellow] != labels[one]) == across)
    if apart is not None:
        good &= apart[fellow] != apart[one]
    good = np.flatnonzero(good)[:4000]
    return one[good], fellow[good], other[good]


def _extent(number: Ints, order: Ints) -> tuple[Ints, Ints]:
    """(n,) where each image's kind begins in the order, and how many it has."""
    begin = np.searchsorted(number[order], number, "left")
    return begin, np.searchsorted(number[order], number, "right") - begin


def _from_columns(images: ImageSet, judge: _Judge) -> Iterator[Proposal]:
    for name, values in images.columns.items():
        found = judge.proposal(name, values, named=bool(TELLING.match(name)))
        if found is not None:
            yield found


def _from_folders(images: ImageSet, judge: _Judge) -> Iterator[Proposal]:
    pattern = r"([^/]+)/[^/]+$"
    folders = [first_capture(re.compile(pattern), name) or name for name in images.names]
    found = judge.proposal(pattern, np.array(folders, np.str_))
    if found is not None:
        yield found


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
        found = _best(_beginnings(columns), images, judge) or _best(_fields(columns), images, judge)
        if found is not None:
            best.setdefault(*found)
    if len(best) == 1:
        pattern = next(iter(best.values()))
    elif best:
        pattern = f"^({'|'.join(sorted(best, key=len, reverse=True))})"
    else:
        return
    for full in (pattern, _with_folder(pattern)):
        groups = _grouped(images, full)
        proposal = judge.proposal(full, groups, named=_is_telling(full))
        if proposal is not None and judge.crosses(partition(groups)):
            yield proposal
            return


def _with_folder(pattern: str) -> str:
    """The pattern with the folder in its capture, for numbers that begin anew in each class."""
    return "([^/]+/" + pattern.removeprefix("^").removeprefix("(")


def _beginnings(columns: list[tuple[_Token, ...]]) -> list[tuple[str, str]]:
    """Patterns for beginnings of names of one shape, the shortest first: bare, and with capture and what follows."""
    texts = [_rendered(column) for column in columns]
    found = []
    for end in range(1, len(texts)):
        if columns[end - 1][0].kind != "mark":
            bare = "".join(texts[:end])
            follows = texts[end] if columns[end][0].kind == "mark" else ""
            found.append((bare, f"^({bare}){follows}"))
    return found


def _fields(columns: list[tuple[_Token, ...]]) -> list[tuple[str, str]]:
    r"""Patterns for a word and its number further back in the name, such as ``(slide\d+)``."""
    kinds = [column[0].kind for column in columns]
    texts = [_rendered(column) for column in columns]
    found = []
    for i in range(1, len(texts) - 1):
        constant = len({token.text for token in columns[i]}) == 1
        if kinds[i] == "letters" and constant and kinds[i + 1] == "digits":
            found.append((texts[i] + texts[i + 1], f"({texts[i]}{texts[i + 1]})"))
    return found


def _rendered(column: tuple[_Token, ...]) -> str:
    """One place of the names of a shape as a regular expression."""
    kind, texts = column[0].kind, {token.text for token in column}
    if kind == "digits":
        return r"\d+"
    if len(texts) == 1:
        return re.escape(column[0].text).replace(r"\-", "-")
    return r"[^\W\d_]+" if kind == "letters" else "[^-_. ]+"


def _best(patterns: list[tuple[str, str]], images: ImageSet, judge: _Judge) -> tuple[str, str] | None:
    """The coarsest pattern for which it holds that even images which a finer one keeps apart are more alike."""
    # each class by itself: whether groups reach beyond classes is asked at the end
    groupings = [np.char.add(_grouped(images, full), images.labels.astype(np.str_)) for _, full in patterns]
    for i, (pattern, groups) in enumerate(zip(patterns, groupings, strict=True)):
        number = partition(groups)
        if not judge.plausible(number):
            continue
        finer = [f for g in groupings[i + 1 :] if judge.plausible(f := partition(g)) and not np.array_equal(f, number)]
        if _is_telling(pattern[0]) or judge.convinces(*judge.evidence(number, finer[0] if finer else None)):
            return pattern
    return None


def _is_telling(pattern: str) -> bool:
    """Whether the word before the pattern's last number says what the images have in common."""
    words = re.findall(r"([^\W\d_]+)[-_ ]?\\d\+", pattern)
    return bool(words) and bool(TELLING.match(words[-1]))


def _grouped(images: ImageSet, pattern: str) -> NDArray[np.str_]:
    """(n,) first capture of each name; names without one are alone."""
    compiled = re.compile(pattern)
    found = [first_capture(compiled, name) for name in images.names]
    return np.array([n if g is None else g for g, n in zip(found, images.names, strict=True)], np.str_)


def partition(groups: NDArray[np.str_]) -> Ints:
    """(n,) group numbers in order of first appearance, so that equal partitions are equal arrays."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number.ravel()]


def _refined_by(told: Ints, proposed: Ints) -> bool:
    """Whether told groups already keep every proposed group together."""
    pairs = np.unique(np.stack([proposed, told]), axis=1)
    return bool(len(np.unique(pairs[0])) == pairs.shape[1])
