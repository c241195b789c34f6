"""Explanations as a folder that anybody can open: a page, a PNG file for each image, and JSON for programs."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.errors import UsageError
from graftwork.files import whole_folder, write_json, write_text
from graftwork.reporting.document import document
from graftwork.ship.explain import Explainer, Explanation

PAGE = "index.html"
LIST = "explanations.json"
MOST_ON_PAGE = 200
"""Images on the page, which holds all of its pictures; the others are PNG files alone."""
_NAME_LENGTH = 40


def require_free(folder: Path) -> None:
    """Raise UsageError unless a folder is new, empty, or holds earlier explanations."""
    if not folder.exists() or (folder / LIST).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UsageError(
            f"-o must be a new folder or one that holds earlier explanations, but {folder} "
            f"{'holds something else' if folder.is_dir() else 'is a file'}; give another"
        )


def written(
    explanations: Iterable[Explanation], folder: Path, explainer: Explainer, model: str
) -> Iterator[Explanation]:
    """Hand on explanations while they are written into a folder, whole or not at all; without any, there is none.

    Parameters
    ----------
    model
        What the page calls the model.

    Raises
    ------
    StorageError
        When the folder cannot be written to.
    """
    shown: list[dict[str, Any]] = []
    listed: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        part: Path | None = None
        for number, explanation in enumerate(explanations, start=1):
            part = part or stack.enter_context(whole_folder(folder))
            file = f"{number:03}-{_safe(explanation.name)}.png"
            (part / file).write_bytes(explanation.png())
            listed.append(_listed(explanation, file))
            if number <= MOST_ON_PAGE:
                shown.append(_shown(explanation))
            yield explanation
        if part is None:
            return
        write_json(part / LIST, {"model": model, "exact": explainer.exact, "images": listed})
        page = document(
            "explained.html.jinja", {}, model=model, explained=shown, total=len(listed), exact=explainer.exact,
            views=explainer.model.fitted.views, notes=explainer.notes,
        )  # fmt: skip
        write_text(part / PAGE, page)


def jpeg_of(pixels: NDArray[np.uint8]) -> bytes:
    """Return (h, w, 3) pixels as a JPEG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return out.getvalue()


def _safe(name: str) -> str:
    """The name of an image without what file systems refuse."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem).strip("-.")[:_NAME_LENGTH] or "image"


def _listed(explanation: Explanation, file: str) -> dict[str, Any]:
    return {
        "image": explanation.name,
        "label": explanation.label,
        "probability": explanation.probability,
        "for_class": explanation.for_class,
        "for_class_probability": explanation.for_class_probability,
        "actual": explanation.actual,
        "picture": file,
        "nearest": [
            {"image": near.name, "label": near.label, "similarity": near.similarity} for near in explanation.nearest
        ],
    }


def _shown(explanation: Explanation) -> dict[str, Any]:
    """What the page needs, a tenth of what the explanation takes in memory."""
    fields = ("name", "label", "probability", "for_class", "for_class_probability", "actual")
    near = [
        dataclasses.asdict(image) | {"thumbnail": image.thumbnail and _uri(image.thumbnail)}
        for image in explanation.nearest
    ]
    return {name: getattr(explanation, name) for name in fields} | {
        "picture": _uri(jpeg_of(explanation.picture)),
        "overlay": _uri(jpeg_of(explanation.overlay)),
        "nearest": near,
    }


def _uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
