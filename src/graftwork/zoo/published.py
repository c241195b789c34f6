"""Published networks: a folder each, and an index beside them, on any static web server, bucket or disk.

::

    zoo.json                  names, cards, and the sha256 and size of every file
    NAME/model.safetensors    the weights; missing where their licence lets nobody pass them on
    NAME/model.json           the card
    NAME/config.json          for timm and transformers, where timm builds the network
    NAME/README.md            a model card in Hugging Face's form
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cattrs

from graftwork.backbones.cardfile import card_of
from graftwork.backbones.places import open_place, safe_path
from graftwork.backbones.zoo_folder import CARD, require_name
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError
from graftwork.files import sha256_of
from graftwork.zoo.entries import read_facts

INDEX = "zoo.json"
INDEX_VERSION = 1
MOST_BYTES = 20_000_000
"""Of an index."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a published network."""

    sha256: str
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Published:
    """A network in an index."""

    card: BackboneCard
    """As far as its card says; its weights are not here."""
    files: Mapping[str, File]
    """By path below the network's folder."""


def read_index(address: str) -> dict[str, Published]:
    """Return the networks that are published at a place, by name.

    Raises
    ------
    BackboneError
        When the place cannot be read, or has no index that this version understands.
    """
    where = f"{address.rstrip('/')}/{INDEX}"
    return parsed(open_place(address).read(INDEX, MOST_BYTES), where)


def parsed(data: bytes, where: str) -> dict[str, Published]:
    """Return the networks of an index, all of its names and paths checked.

    Raises
    ------
    BackboneError
        When it is no index, of another version, or names what is outside its folder.
    """
    plain = _plain(data, where)
    networks = {}
    for name, entry in plain["networks"].items():
        require_name(name)
        try:
            files = cattrs.structure(entry["files"], dict[str, File])
            facts = entry["card"]
        except (KeyError, TypeError, ValueError, cattrs.BaseValidationError) as error:
            raise _broken(where, f"the entry of {name} is damaged") from error
        for path in files:
            safe_path(path, where)
        known = {} if isinstance(facts, dict) and "source" in facts else {"source": "file", "weights": ""}
        networks[name] = Published(card_of(facts, f"{where}, {name}", **{"name": name, **known}), files)
    return networks


def merged(before: bytes | None, name: str, folder: Path, where: str) -> bytes:
    """Return an index with the network of a folder in it, in place of one of this name.

    Parameters
    ----------
    before
        The index that is there; None where there is none.

    Raises
    ------
    BackboneError
        When what is there is no index of this version.
    """
    plain: dict[str, Any] = {"schema_version": INDEX_VERSION, "networks": {}}
    if before is not None:
        plain = _plain(before, where)
    files = {
        path.relative_to(folder).as_posix(): dataclasses.asdict(File(sha256_of(path), path.stat().st_size))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    plain["networks"][name] = {"card": read_facts(folder), "files": files}
    plain["networks"] = dict(sorted(plain["networks"].items()))
    return (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode()


def files_of(entry: Published, name: str, where: str) -> Mapping[str, File]:
    """Return the files of a published network.

    Raises
    ------
    BackboneError
        When its card is not among them.
    """
    if CARD not in entry.files:
        raise _broken(where, f"the entry of {name} has no {CARD}")
    return entry.files


def _plain(data: bytes, where: str) -> dict[str, Any]:
    try:
        plain = json.loads(data)
        networks, version = plain["networks"], plain["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _broken(where, "it is no index of networks") from error
    if version != INDEX_VERSION:
        raise _broken(where, f"it has schema version {version}, of another version of graftwork")
    if not isinstance(networks, dict):
        raise _broken(where, "it is no index of networks")
    return plain  # type: ignore[no-any-return]


def _broken(where: str, why: str) -> BackboneError:
    return BackboneError(
        f"{where} must be an index of networks with schema version {INDEX_VERSION}, but {why}; ask who published it"
    )
