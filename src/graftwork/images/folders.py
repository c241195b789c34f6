"""Images in folders: one folder per class, folders of these for each part of a split, or a flat pile."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path

from graftwork.core.figures import counted
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
from graftwork.images.labels import spelled_alike
from graftwork.images.layout import Located, Place, in_parts, perhaps_further_down, unwrapped
from graftwork.images.listing import Listing, few
from graftwork.images.parts import UNLABELLED_PART
from graftwork.images.sources import Files


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
            do = "; ".join(f"to use {kind.what}, {kind.do}" for kind in self._not_read())
            because = f"not image files: {self.other_kinds()}"
            names = ["/".join(place) for place in self.others]
            notes.append(finding("G125", because, do=do, examples=names))
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
            because = f"{counted(len(self.by_content), 'file')} without a suffix, images by their content: used"
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
    inside, places = unwrapped(listed.images)
    images = in_parts(places)
    level = len(inside) + 1 if label_level is None else label_level
    _require_level(root, label_level, max(len(inside) + len(image.folders) for image in images))
    labelled = [(image, _label(image, inside, level)) for image in images]
    notes = listed.notes()
    flat = not any(label is not None for _, label in labelled)
    if not flat:
        if inside and label_level is None:
            because = f"the only folder is `{'/'.join(inside)}`: what is in it is taken as the data folder"
            notes.append(finding("G129", because, count=1))
        split = any(image.part is not None for image in images)
        notes += _left_out([image for image, label in labelled if label is None], split=split)
        labelled = [(image, label) for image, label in labelled if label is not None]
        notes += spelled_alike(Counter(label for _, label in labelled if label is not None))
        if label_level is None:
            below = [(label, image.folders[1:2]) for image, label in labelled if label is not None]
            notes += perhaps_further_down(below, level)
    base = root.joinpath(*inside)
    return Listing(
        root=base,
        source=Files([base.joinpath(*image.place) for image, _ in labelled]),
        names=[_name(image) for image, _ in labelled],
        labels=[label for _, label in labelled],
        kinds=[None if flat else image.part for image, _ in labelled],
        notes=notes,
    )


def _require_level(root: Path, label_level: int | None, deepest: int) -> None:
    if label_level is not None and not 1 <= label_level <= deepest:
        raise UsageError(
            f"--label-level must be from 1 to {deepest}, the number of folders between {root} and its deepest image "
            f"without those of a split, got {label_level}"
            if deepest
            else f"--label-level needs images in folders, but those of {root} are in none; leave it out"
        )


def _name(image: Located) -> str:
    return printable("/".join(image.place))


def _label(image: Located, inside: Place, level: int) -> str | None:
    folders = (*inside, *image.folders)
    return None if image.part == UNLABELLED_PART or len(folders) < level else printable(folders[level - 1])


_LEFT_OUT = {
    "are of a part without class folders": "label them, or predict them later",
    "are in a folder beside those of the parts": "name it after the part that they belong to, such as train-2",
    "are outside the class folders": "move them into a class folder",
}
"""Why images have no label, and what to do about it."""


def _left_out(images: list[Located], *, split: bool) -> list[Finding]:
    """G123: images without a label among images with one, by the reason."""
    in_part, beside, outside = _LEFT_OUT
    names: dict[str, list[str]] = {reason: [] for reason in _LEFT_OUT}
    for image in images:
        reason = in_part if image.part is not None else beside if split and len(image.place) > 1 else outside
        names[reason].append(_name(image))
    return [
        finding(
            "G123",
            f"{len(names[reason])} images {reason}, have no label and are left out",
            do=do,
            examples=names[reason],
        )
        for reason, do in _LEFT_OUT.items()
        if names[reason]
    ]
