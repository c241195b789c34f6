"""What a file or folder is by its name, or by its first bytes where the name says nothing. No image is decoded."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection
from pathlib import Path

_SUFFIX_LIST = (
    ".jpg .jpeg .jpe .jfif .png .apng .bmp .dib .gif .tif .tiff .webp .avif .heic .heif "
    ".mpo .ppm .pgm .pbm .pnm .jp2 .j2k .tga .ico .pcx"
)
SUFFIXES = frozenset(_SUFFIX_LIST.split())
"""File names that promise an image; one that is none is reported as unreadable."""
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst", ".7z", ".rar")

_LEFT_ASIDE = frozenset(
    name.casefold()
    for name in (
        *("@eaDir", "@tmp", "#recycle", "#snapshot"),  # Synology
        *("@Recycle", "@Recently-Snapshot"),  # QNAP
        *(
            "$RECYCLE.BIN",
            "RECYCLER",
            "System Volume Information",
            "Thumbs.db",
            "ehthumbs.db",
            "desktop.ini",
        ),  # Windows
        *("__MACOSX", "Network Trash Folder", "Temporary Items", "Icon\r"),  # macOS
        "lost+found",  # Linux
        "__pycache__",
    )
)
"""What systems leave in folders of anything."""

_OURS = (
    ("run.json",),  # a run
    ("settings.json", ".lock"),  # one that has not ended
    ("settings.json", "clock.json"),
    ("model/manifest.json",),  # one of which the model is left
    ("manifest.json", "classes.json"),  # a model
    ("explanations.json",),
)
"""What folders that graftwork wrote hold: all files of one line."""


@dataclasses.dataclass(frozen=True)
class NotRead:
    """Files that hold images in a way that is not read."""

    what: str
    suffixes: tuple[str, ...]
    do: str


DICOM = "DICOM without a suffix"
NOT_READ = (
    NotRead(
        "medical images",
        (DICOM, ".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"),
        "convert each image or slice to PNG (8 bits, or grey of 16)",
    ),
    NotRead("arrays", (".npy", ".npz", ".mat", ".h5", ".hdf5"), "save each image as PNG or TIFF"),
    NotRead(
        "microscope slides",
        (".svs", ".ndpi", ".mrxs", ".scn", ".vsi", ".czi", ".lif", ".nd2", ".oib"),
        "save tiles or planes as PNG or TIFF",
    ),
    NotRead(
        "videos",
        (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"),
        "save frames as PNG or JPEG, one folder per video inside that of its class",
    ),
    NotRead(
        "raw camera files",
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
        "convert them to JPEG, PNG or TIFF",
    ),
    NotRead(
        "drawings and other pictures",
        (".psd", ".xcf", ".svg", ".svgz", ".ai", ".eps", ".pdf", ".jxl", ".exr", ".hdr", ".fits", ".djvu"),
        "export them as PNG or TIFF",
    ),
)
_NOT_READ_BY_SUFFIX = {suffix: kind for kind in NOT_READ for suffix in kind.suffixes}

_NO_SUFFIX = re.compile(r"(\.\d+)?")
"""Endings that say nothing of the content: none, or a number, as in the names of DICOM files."""
_FIRST_BYTES = (
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\x00|MM\x00\*|RIFF....WEBP|BM....\x00\x00\x00\x00|"
    rb"\x00\x00\x00\x0cjP  |....ftyp(avif|hei[cxms]|hev[cx]|mif1|msf1)"
)
_IMAGE = re.compile(_FIRST_BYTES, re.DOTALL)
_DICOM = re.compile(rb".{128}DICM", re.DOTALL)
_BYTES_READ = 132


def is_left_aside(name: str) -> bool:
    """Whether a file or folder is hidden, or one that a NAS, Windows or macOS leaves anywhere."""
    return name.startswith(".") or name.casefold() in _LEFT_ASIDE


def is_ours(folder: Path, names: Collection[str]) -> bool:
    """Whether a folder with entries of these names is a run's or a model's.

    Entries are opened only where a name suggests it.
    """
    return any(all(file.split("/")[0] in names and (folder / file).is_file() for file in files) for files in _OURS)


def suffix_of(name: str) -> str:
    """Return the suffix, in lower case; ``.nii.gz`` is one."""
    stem, suffix = os.path.splitext(name.lower())
    return ".nii.gz" if suffix == ".gz" and stem.endswith(".nii") else suffix


def kind_by_content(path: Path) -> str | None:
    """Return ``image`` or ``DICOM without a suffix`` where a file without a suffix begins like one; None otherwise."""
    if not _NO_SUFFIX.fullmatch(suffix_of(path.name)):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_BYTES_READ)
    except OSError:
        return None
    return "image" if _IMAGE.match(head) else DICOM if _DICOM.match(head) else None


def not_read(kind: str) -> NotRead | None:
    """Return what files of a suffix are, where they may hold images that cannot be read; None otherwise."""
    return _NOT_READ_BY_SUFFIX.get(kind)
