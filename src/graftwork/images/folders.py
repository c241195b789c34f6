"""Images in folders: one folder per class, folders of these for each part of a split, or a flat pile."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from graftwork.core.findings import Finding, finding
from graftwork.errors import DataError, UsageError
from graftwork.images.filekinds import (
    ARCHIVES,
    SUFFIXES,
    NotRead,
    is_left_aside,
    is_ours,
    kind_by_content,
    not_read,
    suffix_of,
)
from graftwork.images.listing import Listing, few
from graftwork.images.parts import UNLABELLED_PART, adds_nothing, kind_of, parts_among
from graftwork.images.sources import Files

Place = tuple[str, ...]
"""A path below the root, as its steps."""


@dataclasses.dataclass
class Walk:
    """What is below a folder, in sorted order; every real folder is entered once."""

    images: list[Place] = dataclasses.field(default_factory=list)
    by_content: list[Place] = dataclasses.field(default_factory=list)
    """Those of the images whose name says nothing of an image."""
    others: dict[Place, str] = dataclasses.field(default_factory=dict)
    """Files that are no images, with their kind: mostly the suffix."""
    ours: list[str] = dataclasses.field(default_factory=list)
    """Folders that graftwork wrote; not entered."""
    visited_again: list[str] = dataclasses.field(default_factory=list)
    """Links to folders that were entered already: loops end here."""
    dead_links: list[str] = dataclasses.field(default_factory=list)
    tops: list[str] = dataclasses.field(default_factory=list)
    """Folders directly below the root."""

    def notes(self) -> list[Finding]:
        """Return the findings of files and folders that are not used, or not as their names say."""
        notes = []
        if self.others:
            do = "; ".join(f"{kind.what}: {kind.do}" for kind in self._not_read())
            because = f"not image files: {self.other_kinds()}"
            names = ["/".join(place) for place in self.others]
            notes.append(finding("G125", because, do=do and f"where they hold images to use: {do}", examples=names))
        if self.visited_again:
            because = "links to folders that were listed already (a loop, or a second path to the same folder)"
            notes.append(finding("G126", because, examples=self.visited_again))
        if self.dead_links:
            because = "links to files that do not exist"
            notes.append(finding("G127", because, examples=self.dead_links))
        with_images = {place[0] for place in self.images if len(place) > 1}
        with_ours = {place.split("/")[0] for place in self.ours}
        empty = [top for top in self.tops if top not in with_images | with_ours]
        if empty and with_images:
            notes.append(finding("G128", f"{few(empty)}: these are not classes", examples=empty))
        if self.ours:
            because = f"{few(self.ours)}: runs or models that graftwork wrote are not data"
            notes.append(finding("G139", because, examples=self.ours))
        if self.by_content:
            because = f"{len(self.by_content)} files without a suffix are images by their content, and are used"
            notes.append(finding("G140", because, examples=["/".join(place) for place in self.by_content]))
        return notes

    def other_kinds(self) -> str:
        """Return the kinds of files that are no images, with their counts, in words."""
        count = Counter(self.others.values())
        what = {kind: f" ({known.what})" if (known := not_read(kind)) else "" for kind in count}
        return few([f"{number} {kind}{what[kind]}" for kind, number in count.most_common()], shown=5)

    def _not_read(self) -> list[NotRead]:
        """Kinds of files that may hold images, each once, the most frequent first."""
        kinds = [not_read(kind) for kind, _ in Counter(self.others.values()).most_common()]
        return list(dict.fromkeys(kind for kind in kinds if kind is not None))

    def no_images(self, root: Path) -> str:
        """Return what is wrong with a folder without images, and what to do, in one line."""
        packed = [place[-1] for place in self.others if place[-1].lower().endswith(ARCHIVES)]
        unread = self._not_read()
        if packed and not unread:
            return f"{root} must hold images, but holds the archive {packed[0]}: unpack it first"
        content = self.other_kinds() or ("only what graftwork wrote" if self.ours else "no file")
        return (
            f"{root} must hold images (.jpg, .png and so on; to train on, in one folder per class), but holds "
            f"{content}: {unread[0].do if unread else 'correct the path'}"
        )


def walk(root: Path) -> Walk:
    """List what is below ``root``; links are followed, but no folder is entered twice.

    What systems leave anywhere is left aside, and so is what graftwork wrote.

    Raises
    ------
    DataError
        When a folder cannot be listed.
    """
    listed = Walk()
    visited: set[tuple[int, int]] = set()
    folders: list[Place] = [()]
    links: list[Place] = []
    while folders or links:
        # real folders first: a folder is listed under its own path, not under that of a link to it
        place = folders.pop() if folders else links.pop(0)
        where = root.joinpath(*place)
        try:
            about = os.stat(where)
            if (about.st_dev, about.st_ino) in visited:
                listed.visited_again.append("/".join(place))
                continue
            visited.add((about.st_dev, about.st_ino))
            with os.scandir(where) as entries:
                content = sorted(entries, key=lambda entry: entry.name)
            if place and is_ours(where, {entry.name for entry in content}):
                listed.ours.append("/".join(place))
                continue
            for entry in content:
                _sort_entry(entry, (*place, entry.name), listed, folders, links)
        except OSError as error:
            raise DataError(f"{where} must be a folder that can be listed, but: {error.strerror or error}") from error
    listed.images.sort()
    return listed


def _sort_entry(entry: os.DirEntry[str], place: Place, listed: Walk, folders: list[Place], links: list[Place]) -> None:
    if is_left_aside(entry.name):
        return
    if not _leads_somewhere(entry):
        listed.dead_links.append("/".join(place))
    elif entry.is_dir():
        (links if entry.is_symlink() else folders).append(place)
        if len(place) == 1:
            listed.tops.append(entry.name)
    elif (suffix := suffix_of(entry.name)) in SUFFIXES:
        listed.images.append(place)
    elif (kind := kind_by_content(Path(entry.path))) == "image":
        listed.images.append(place)
        listed.by_content.append(place)
    else:
        listed.others[place] = kind or suffix or "without a suffix"


def _leads_somewhere(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a file, and not a link to nothing or to itself."""
    try:
        return entry.is_dir() or entry.is_file()
    except OSError:
        return False


def images_below(root: Path) -> list[Path]:
    """Every image file below a folder, in sorted order.

    Raises
    ------
    DataError
        When there is none, or a folder cannot be listed.
    """
    listed = walk(root)
    if not listed.images:
        raise DataError(listed.no_images(root))
    return [root.joinpath(*place) for place in listed.images]


def printable(name: str) -> str:
    """A name that can be written as UTF-8: bytes that are no text become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclasses.dataclass(frozen=True)
class _Located:
    """An image by its path."""

    place: Place
    part: str | None
    """``train``, ``val``, ``test`` or ``unlabelled``; None where the data did not come split."""
    folders: Place
    """Its folders, without those that say which part it is; none where the data came split and it is in no part."""


def read_folder(root: Path, listed: Walk, label_level: int | None = None) -> Listing:
    """Images below a folder: pre-split, by class, or a flat pile without labels.

    Parameters
    ----------
    listed
        What ``walk`` returned for ``root``.
    label_level
        Which folder on an image's path below ``root`` is its class, counted from 1; folders that say which part of a
        split an image is do not count. Without it, the first that has siblings.

    Raises
    ------
    DataError
        When there is no image.
    UsageError
        When no image is so deep in folders as ``label_level``.
    """
    if not listed.images:
        raise DataError(listed.no_images(root))
    inside, places = _unwrapped(listed.images)
    images = _in_parts(places)
    level = len(inside) + 1 if label_level is None else label_level
    _require_level(root, label_level, max(len(inside) + len(image.folders) for image in images))
    labels = [_label(image, inside, level) for image in images]
    notes = listed.notes()
    flat = not any(labels)
    if inside and label_level is None and not flat:
        because = f"the only folder is `{'/'.join(inside)}`: what is in it is taken as the data folder"
        notes.append(finding("G129", because, count=1))
    used = [(image, label) for image, label in zip(images, labels, strict=True) if flat or label is not None]
    if not flat:
        notes += _left_out([image for image, label in zip(images, labels, strict=True) if label is None])
        notes += _spelled_alike(Counter(label for label in labels if label is not None))
    if label_level is None:
        below = [(label, image.folders[1:2]) for image, label in used if label is not None]
        notes += _perhaps_further_down(below, level)
    base = root.joinpath(*inside)
    return Listing(
        root=base,
        source=Files([base.joinpath(*image.place) for image, _ in used]),
        names=[printable("/".join(image.place)) for image, _ in used],
        labels=[label for _, label in used],
        kinds=[None if flat else image.part for image, _ in used],
        notes=notes,
    )


def _unwrapped(images: list[Place]) -> tuple[Place, list[Place]]:
    """Step into a lone folder that itself holds folders of images, as unpacked archives have it."""
    inside: Place = ()
    while True:
        tops = {place[0] for place in images}
        if len(tops) != 1 or min(map(len, images)) < 2 or max(map(len, images)) < 3:
            return inside, images
        inside = (*inside, *tops)
        images = [place[1:] for place in images]


def _in_parts(places: list[Place]) -> list[_Located]:
    """Tell the folders that say which part an image is from those that may say its class."""
    at, parts = _parts(places)
    if not parts:
        return [_Located(place, None, place[:-1]) for place in places]
    folders_below = {place: place[:at] + place[at + 1 : -1] for place in places if place[at] in parts}
    alone = _lone_folders([(place[at], folders) for place, folders in folders_below.items()]) if at == 0 else set()
    images = []
    for place in places:
        folders = folders_below.get(place, ())
        while (place[at], folders[:1]) in alone:
            folders = folders[1:]
        images.append(_Located(place, parts.get(place[at]), folders))
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


def _label(image: _Located, inside: Place, level: int) -> str | None:
    folders = (*inside, *image.folders)
    return None if image.part == UNLABELLED_PART or len(folders) < level else printable(folders[level - 1])


def _require_level(root: Path, label_level: int | None, deepest: int) -> None:
    if label_level is not None and not 1 <= label_level <= deepest:
        raise UsageError(
            f"--label-level must be from 1 to {deepest}, the number of folders between {root} and its deepest image "
            f"without those of a split, got {label_level}"
            if deepest
            else f"--label-level needs images in folders, but those of {root} are in none; leave it out"
        )


def _left_out(images: list[_Located]) -> list[Finding]:
    """G123: images without a label among images with one, those of a part by themselves."""
    notes = []
    for in_part, where, do in (
        (True, "of a part without class folders", "label them, or predict them later"),
        (False, "outside the class folders", "move them into a class folder"),
    ):
        names = [printable("/".join(image.place)) for image in images if (image.part is not None) == in_part]
        if names:
            because = f"{len(names)} images {where} have no label and are left out"
            notes.append(finding("G123", because, do=do, examples=names))
    return notes


def _spelled_alike(count: Counter[str]) -> list[Finding]:
    """G138: classes whose names differ by case, spaces, hyphens or underscores."""
    alike: dict[str, list[str]] = {}
    for name in sorted(count):
        plain = re.sub(r"(?<=[^\W_])[-_\s]+(?=[^\W_])", " ", name.strip()).casefold()
        if len(plain) > 1:  # a and A are letters
            alike.setdefault(plain, []).append(name)
    twice = [names for names in alike.values() if len(names) > 1]
    if not twice:
        return []
    spelled = [", ".join(f"`{name}` ({count[name]} images)" for name in names) for names in twice]
    because = f"{few(spelled)}: each spelling is a class of its own"
    return [finding("G138", because, do="give folders of one class one name", count=len(twice))]


def _perhaps_further_down(images: list[tuple[str, Place]], level: int) -> list[Finding]:
    """G137: folders taken as classes, while those in them may be the classes.

    Parameters
    ----------
    images
        The class of each image, and the folder below that of the class: one step, or none.
    level
        That of the classes.
    """
    inner: dict[str, set[str]] = {}
    for label, below in images:
        inner.setdefault(label, set()).update(below)
    deep = [label for label in sorted(inner) if inner[label]]
    names = _repeated(inner)
    if names:
        because = f"{few([f'`{label}`' for label in deep])} are taken as classes, but hold folders of the same names ({few(names)})"
    elif len(deep) == 1 and kind_of(deep[0]) and len(inner[deep[0]]) > 1 and len(inner) > 1:
        because = f"`{deep[0]}`, named like a part of a split, is taken as a class, but holds folders ({few(sorted(inner[deep[0]]))})"
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
