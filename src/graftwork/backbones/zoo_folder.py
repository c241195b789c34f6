"""The networks of the user's zoo: a folder each, in the home of what cannot be computed again.

::

    NAME/model.safetensors    the weights; missing where their licence lets nobody pass them on
    NAME/model.json           the card, as ``cardfile`` spells it
    NAME/profile.safetensors  what the codes of its source are like, where somebody measured it
    NAME/…                    what else came with it, such as a model card and timm's config.json
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from graftwork.backbones.cardfile import card_of
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError, did_you_mean
from graftwork.files import home_folder

WEIGHTS, CARD, PROFILE = "model.safetensors", "model.json", "profile.safetensors"
ZOO = "zoo:"
"""Begins the name of a network of the user's zoo."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
REFERRED = ("timm", "torchvision")
"""Sources of weights that a card may refer to."""


def zoo_folder() -> Path:
    """Return the folder of the user's zoo, which may not exist yet."""
    return home_folder() / "zoo"


def zoo_names() -> list[str]:
    """Return the names of the networks of the user's zoo."""
    return sorted(path.parent.name for path in zoo_folder().glob(f"*/{CARD}") if _NAME.fullmatch(path.parent.name))


def require_name(name: str) -> str:
    """Return a name that is a folder on every system.

    Raises
    ------
    BackboneError
        When it is none.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise BackboneError(
            f"the name of a network must be up to 100 letters, digits, dots, hyphens and underscores, but is {name!r}; "
            "give another `--name`"
        )
    return name


def zoo_card(name: str) -> BackboneCard:
    """Return the card of a network of the user's zoo, its layers as they are written there.

    Raises
    ------
    BackboneError
        When there is no such network (near names are listed), or its card is damaged.
    """
    folder = zoo_folder() / name
    if name not in zoo_names():
        raise BackboneError(
            f"{name} must be a network of your zoo, but {zoo_folder()} has none{did_you_mean(name, zoo_names())}; "
            "`graft zoo list` names them"
        )
    return card_in(folder, f"{ZOO}{name}")


def card_in(folder: Path, name: str) -> BackboneCard:
    """Return the card in the folder of a network.

    Raises
    ------
    BackboneError
        When it is missing or damaged, or refers to weights that are neither there nor on a hub.
    """
    path = folder / CARD
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} must be a card as JSON, but: {error}; pull or import the network again") from error
    weights = folder / WEIGHTS
    if weights.is_file() or not isinstance(facts, dict) or facts.get("source") not in REFERRED:
        return card_of(facts, str(path), name=name, source="file", weights=str(weights))
    return card_of(facts, str(path), name=name)
