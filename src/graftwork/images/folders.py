"""Images in folders: one folder per class, ``train``/``val``/``test`` folders of these, or a flat pile."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path

from graftwork.core.findings import Finding, finding
from graftwork.errors import DataError
from graftwork.images.listing import Listing, few, kind_of
from graftwork.images.sources import Files

_SUFFIX_LIST = (
    ".jpg .jpeg .jpe .jfif .png .apng .bmp .dib .gif .tif .tiff .webp .avif .heic .heif "
    ".ppm .pgm .pbm .pnm .jp2 .j2k .tga .ico .pcx"
)
SUFFIXES = frozenset(_SUFFIX_LIST.split())
"""File names that promise an image; one that is none is reported as unreadable."""
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst", ".7z", ".rar")

Place = tuple[str, ...]
"""A path below the root, as its steps."""


@dataclasses.dataclass
class Walk:
    """What is below a folder, in sorted order; every real folder is entered once."""

    images: list[Place] = dataclasses.field(default_factory=list)
    others: list[Place] = dataclasses.field(default_factory=list)
    """Files without the suffix of an image."""
    hidden: int = 0
    visited_again: list[str] = dataclasses.field(default_factory=list)
    """Links to folders that were entered already: loops end here."""
    dead_links: list[str] = dataclasses.field(default_factory=list)
    tops: list[str] = dataclasses.field(default_factory=list)
    """Folders directly below the root."""

    def notes(self) -> list[Finding]:
        """Return the findings of files and folders that are not used."""
        notes = []
        if self.others:
            kinds = Counter(os.path.splitext(place[-1])[1].lower() or "no suffix" for place in self.others)
            because = "not image files: " + few([f"{count} {kind}" for kind, count in kinds.most_common()])
            notes.append(finding("G125", because, examples=["/".join(place) for place in self.others]))
        if self.visited_again:
            because = "links to folders that were listed already (a loop, or a second path to the same folder)"
            notes.append(finding("G126", because, examples=self.visited_again))
        if self.dead_links:
            because = "links to files that do not exist"
            notes.append(finding("G127", because, examples=self.dead_links))
        with_images = {place[0] for place in self.images if len(place) > 1}
        empty = [top for top in self.tops if top not in with_images]
        if empty and with_images:
            notes.append(finding("G128", f"{few(empty)}: these are not classes", examples=empty))
        return notes


def walk(root: Path) -> Walk:
    """List what is below ``root``; links are followed, but no folder is entered twice.

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
        try:
            about = os.stat(root.joinpath(*place))
            if (about.st_dev, about.st_ino) in visited:
                listed.visited_again.append("/".join(place))
                continue
            visited.add((about.st_dev, about.st_ino))
            with os.scandir(root.joinpath(*place)) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    _sort_entry(entry, (*place, entry.name), listed, folders, links)
        except OSError as error:
            where = root.joinpath(*place)
            raise DataError(f"{where} must be a folder that can be listed, but: {error.strerror or error}") from error
    listed.images.sort()
    return listed


def _sort_entry(entry: os.DirEntry[str], place: Place, listed: Walk, folders: list[Place], links: list[Place]) -> None:
    if entry.name.startswith(".") or entry.name in ("__MACOSX", "Thumbs.db", "desktop.ini"):
        listed.hidden += 1
    elif not _leads_somewhere(entry):
        listed.dead_links.append("/".join(place))
    elif entry.is_dir():
        (links if entry.is_symlink() else folders).append(place)
        if len(place) == 1:
            listed.tops.append(entry.name)
    elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
        listed.images.append(place)
    else:
        listed.others.append(place)


def _leads_somewhere(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a file, and not a link to nothing or to itself."""
    try:
        return entry.is_dir() or entry.is_file()
    except OSError:
        return False


def read_folder(root: Path, listed: Walk, label_level: int | None = None) -> Listing:
    """Images below a folder: pre-split, by class, or a flat pile without labels.

    Parameters
    ----------
    listed
        What ``walk`` returned for ``root``.

    Raises
    ------
    DataError
        When there is no image.
    """
    if not listed.images:
        raise DataError(_no_images(root, listed))
    notes = listed.notes()
    inside, images = _unwrapped(listed.images)
    if inside:
        because = f"the only folder is `{'/'.join(inside)}`: the folders in it are the classes"
        notes.append(finding("G129", because, count=1))
    kinds = _kinds(images)
    listing = Listing(root.joinpath(*inside), Files(()), [], [], [], notes=notes)
    left: list[Place] = []
    flat = all(len(place) == 1 for place in images)
    paths = []
    for place in images:
        kind = kinds.get(place[0]) if kinds else None
        steps = place[1:] if kind else place
        if not flat and (len(steps) == 1 or (kinds and not kind)):
            left.append(place)
            continue
        paths.append(listing.root.joinpath(*place))
        listing.names.append(printable("/".join(place)))
        listing.labels.append(None if flat else printable(steps[0]))
        listing.kinds.append(kind)
    listing.source = Files(paths)
    if left:
        because = f"{len(left)} images are outside the class folders, have no label and are left out"
        names = [printable("/".join(place)) for place in left]
        notes.append(finding("G123", because, do="move them into a class folder", examples=names))
    return listing


def images_below(root: Path) -> list[Path]:
    """Every image file below a folder, in sorted order.

    Raises
    ------
    DataError
        When there is none, or a folder cannot be listed.
    """
    listed = walk(root)
    if not listed.images:
        raise DataError(_no_images(root, listed))
    return [root.joinpath(*place) for place in listed.images]


def printable(name: str) -> str:
    """A name that can be written as UTF-8: bytes that are no text become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _unwrapped(images: list[Place]) -> tuple[Place, list[Place]]:
    """Step into a lone folder that itself holds folders of images, as unpacked archives have it."""
    inside: Place = ()
    while True:
        tops = {place[0] for place in images}
        if len(tops) != 1 or min(map(len, images)) < 2 or max(map(len, images)) < 3:
            return inside, images
        inside = (*inside, *tops)
        images = [place[1:] for place in images]


def _kinds(images: list[Place]) -> dict[str, str]:
    """The part each top folder is, where at least two parts hold class folders; else nothing."""
    holding = {place[0] for place in images if len(place) > 2}
    kinds = {top: kind for top in {place[0] for place in images} if (kind := kind_of(top))}
    return kinds if len({kinds[top] for top in holding & set(kinds)}) > 1 else {}


def _no_images(root: Path, listed: Walk) -> str:
    packed = [place[-1] for place in listed.others if place[-1].lower().endswith(ARCHIVES)]
    if packed:
        return f"{root} must hold images, but holds the archive {packed[0]}: unpack it first"
    content = f"{len(listed.others)} other files" if listed.others else "no file"
    return (
        f"{root} must hold images (.jpg, .png and so on; to train on, in one folder per class), but holds {content}: "
        "correct the path"
    )
