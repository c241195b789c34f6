"""Which folders on the paths of images are parts, which may be classes, and what looks odd: pure functions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from graftwork.core.findings import Finding, finding
from graftwork.images.listing import few
from graftwork.images.parts import adds_nothing, kind_of, parts_among

Place = tuple[str, ...]
"""A path below the root, as its steps."""


@dataclasses.dataclass(frozen=True)
class Located:
    """An image by its path."""

    place: Place
    part: str | None
    """``train``, ``val``, ``test`` or ``unlabelled``; None where the data did not come split."""
    folders: Place
    """Its folders, without those that say which part it is; none where the data came split and it is in no part."""


def unwrapped(images: list[Place]) -> tuple[Place, list[Place]]:
    """Step into a lone folder that itself holds folders of images, as unpacked archives have it."""
    inside: Place = ()
    while True:
        tops = {place[0] for place in images}
        if len(tops) != 1 or min(map(len, images)) < 2 or max(map(len, images)) < 3:
            return inside, images
        inside = (*inside, *tops)
        images = [place[1:] for place in images]


def in_parts(places: list[Place]) -> list[Located]:
    """Tell the folders that say which part an image is from those that may say its class."""
    at, parts = _parts(places)
    if not parts:
        return [Located(place, None, place[:-1]) for place in places]
    folders_below = {place: place[:at] + place[at + 1 : -1] for place in places if place[at] in parts}
    alone = _lone_folders([(place[at], folders) for place, folders in folders_below.items()]) if at == 0 else set()
    images = []
    for place in places:
        folders = folders_below.get(place, ())
        while (place[at], folders[:1]) in alone:
            folders = folders[1:]
        images.append(Located(place, parts.get(place[at]), folders))
    return images


def _parts(places: list[Place]) -> tuple[int, dict[str, str]]:
    """Which step of the paths names parts, and the part of each of its names; nothing where the data is not split.

    ``train`` and ``test`` on top are parts if one of them holds folders, or nothing else is there; inside every class,
    if nothing else is there: a class may be called ``train``.
    """
    tops = {place[0] for place in places}
    parts = parts_among({place[0] for place in places if len(place) > 1})
    if parts and (tops == parts.keys() or any(len(place) > 2 and place[0] in parts for place in places)):
        return 0, parts
    if all(len(place) > 2 for place in places):
        inner = {place[1] for place in places}
        parts = parts_among(inner)
        if parts.keys() == inner:
            return 1, parts
    return 0, {}


def _lone_folders(images: list[tuple[str, Place]]) -> set[tuple[str, Place]]:
    """Part folders with the only folder in each, where its name adds nothing, as in ``seg_train/seg_train``."""
    holds: dict[str, set[Place]] = {}
    for part, folders in images:
        holds.setdefault(part, set()).add(folders[:1])
    classes = set().union(*(inner for inner in holds.values() if len(inner) > 1))
    lone = {part: next(iter(inner)) for part, inner in holds.items() if len(inner) == 1}
    return {
        (part, inner) for part, inner in lone.items() if inner and adds_nothing(inner[0], part) and inner not in classes
    }


def perhaps_further_down(labels_and_folders: Sequence[tuple[str, Place]], level: int) -> list[Finding]:
    """G137: folders taken as classes, while those in them may be the classes.

    Parameters
    ----------
    labels_and_folders
        The class of each image, and the folder below that of the class: one step, or none.
    level
        Which folder on the path is that of the class, counted from 1.
    """
    inner: dict[str, set[str]] = {}
    for label, below in labels_and_folders:
        inner.setdefault(label, set()).update(below)
    deep = [label for label in sorted(inner) if inner[label]]
    if repeated := _repeated(inner):
        which = few([f"`{label}`" for label in deep])
        because = f"{which} are taken as classes, but hold folders of the same names ({few(repeated)})"
    elif len(deep) == 1 and len(inner) > 1 and kind_of(deep[0]) and len(names := inner[deep[0]]) > 1:
        because = f"`{deep[0]}`, named like a part, is taken as a class, but holds folders ({few(sorted(names))})"
    else:
        return []
    do = (
        f"--label-level {level + 1} if these are the classes (and if the folders above are parts of a split, name them "
        f"train and test), --label-level {level} if not"
    )
    return [finding("G137", because, do=do, count=len(deep))]


def _repeated(inner: Mapping[str, set[str]]) -> list[str]:
    """Return the names that several folders hold, if there are two or more and they are most of what each holds."""
    held_by = Counter(name for mine in inner.values() for name in mine)
    names = {name for name, many in held_by.items() if many > 1}
    if len(names) < 2 or any(2 * len(mine & names) <= max(len(mine), len(names)) for mine in inner.values()):
        return []
    return sorted(names)
