"""A network becomes a folder of the user's zoo, whole or not at all; and is checked there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftwork.backbones.cardfile import mapping_of
from graftwork.backbones.tensors import write_tensors
from graftwork.backbones.zoo_folder import CARD, WEIGHTS, require_name, zoo_folder
from graftwork.core.facts import BackboneCard
from graftwork.errors import UsageError
from graftwork.files import sha256_of, write_json

if TYPE_CHECKING:
    import numpy as np

_OF_THE_PLACE = ("name", "source", "weights")
"""Fields of a card that say where a network is, which its folder says already."""


def require_free(name: str, *, overwrite: bool, instead: str = "--overwrite") -> Path:
    """Return the folder of a name in the user's zoo.

    Parameters
    ----------
    instead
        Options that help where the name is taken.

    Raises
    ------
    BackboneError
        When the name is no name.
    UsageError
        When it is taken, and may not be overwritten.
    """
    folder = zoo_folder() / require_name(name)
    if folder.exists() and not overwrite:
        raise UsageError(f"{name} is in your zoo already ({folder}); use {instead}")
    return folder


def write_network(folder: Path, card: BackboneCard, tensors: Mapping[str, np.ndarray[Any, Any]]) -> BackboneCard:
    """Write weights and card into a folder that exists; return the card with their sha256."""
    write_tensors(folder / WEIGHTS, tensors, {"format": "pt"})  # transformers asks for the word
    card = dataclasses.replace(card, weights_sha256=sha256_of(folder / WEIGHTS))
    write_json(folder / CARD, facts_of(card))
    return card


def facts_of(card: BackboneCard) -> dict[str, Any]:
    """Return a card as JSON without the place that it was read from."""
    return {name: value for name, value in mapping_of(card).items() if name not in _OF_THE_PLACE}


def read_facts(folder: Path) -> dict[str, Any]:
    """Return the JSON of a card as it is written."""
    facts: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    return facts
