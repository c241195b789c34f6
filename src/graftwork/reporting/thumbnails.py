"""Thumbnails as text within the page."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from graftwork.core.record import Run
from graftwork.files import whole_file
from graftwork.reporting import evidence

ROOM_MB = 2.0
"""Megabytes of text that thumbnails may take; one that the projection shows too counts twice."""
EVIDENCE = "-evidence"
"""What the name of a file with a map of evidence ends in."""
_KINDS = {".jpg": "image/jpeg", ".png": "image/png"}


def embedded_thumbnails(run: Run, folder: Path | None) -> dict[int, str]:
    """Data URIs of the thumbnails that exist, by row of the image table, as many as the page has room for."""
    if folder is None:
        return {}
    room = ROOM_MB * 1e6
    projected = set(evidence.on_projection(run).tolist())
    uris: dict[int, str] = {}
    for row in evidence.images_to_show(run).tolist():
        uri = data_uri(folder, run.images.digests[row])
        room -= len(uri) * (2 if row in projected else 1)
        if room < 0:
            break
        if uri:
            uris[row] = uri
    return uris


def embedded_evidence(run: Run, folder: Path | None) -> dict[int, str]:
    """Data URIs of the maps of evidence that ``graft explain --mistakes`` wrote, by row of the image table."""
    if folder is None:
        return {}
    uris = {pick.row: data_uri(folder, run.images.digests[pick.row], EVIDENCE) for pick in evidence.mistakes(run)}
    return {row: uri for row, uri in uris.items() if uri}


def write_evidence(run: Run, row: int, jpeg: bytes) -> None:
    """Write a map of evidence where ``embedded_evidence`` finds it, whole or not at all."""
    with whole_file(Path(run.folder) / "thumbnails" / f"{run.images.digests[row]}{EVIDENCE}.jpg") as part:
        part.write_bytes(jpeg)


def data_uri(folder: Path, digest: str, what: str = "") -> str:
    """Return the thumbnail of an image as a data URI, or its map of evidence; nothing where there is none."""
    if not re.fullmatch(r"[0-9a-fA-F]{8,128}", digest):  # a record is read from a file: it must name no other place
        return ""
    for suffix, kind in _KINDS.items():
        path = folder / f"{digest}{what}{suffix}"
        if path.is_file():
            return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return ""
