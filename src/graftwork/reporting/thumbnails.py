"""Thumbnails as text within the page."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from graftwork.core.record import Run
from graftwork.reporting import evidence

ROOM_MB = 2.0
"""Megabytes of text that thumbnails may take; one that the projection shows too counts twice."""
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


def data_uri(folder: Path, digest: str) -> str:
    """Return the thumbnail of an image as a data URI; nothing where there is none."""
    if not re.fullmatch(r"[0-9a-fA-F]{8,128}", digest):  # a record is read from a file: it must name no other place
        return ""
    for suffix, kind in _KINDS.items():
        path = folder / f"{digest}{suffix}"
        if path.is_file():
            return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return ""
