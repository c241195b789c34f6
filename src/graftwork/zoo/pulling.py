"""A published network comes into the user's zoo, whole and checked or not at all; what is there is checked again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from graftwork.backbones.catalogue import find_card
from graftwork.backbones.fetch import Unavailable, Unreachable
from graftwork.backbones.places import HUB, Place, open_place
from graftwork.backbones.zoo_folder import CARD, PROFILE, WEIGHTS, ZOO, card_in, zoo_card, zoo_folder
from graftwork.core.facts import BackboneCard
from graftwork.core.shown import Fact, Shown
from graftwork.errors import BackboneError, UsageError, did_you_mean
from graftwork.files import cache_folder, sha256_of, whole_folder
from graftwork.listener import Listener
from graftwork.progress import Stages
from graftwork.zoo.entries import require_free
from graftwork.zoo.published import MOST_BYTES, File, files_of, read_index

MOST_WEIGHTS_BYTES = 100_000_000_000
"""Of a hub's repository, whose index is the hub's own."""
_ON_HUB = (CARD, "config.json", "README.md", PROFILE)
"""Files of a network on a hub beside its weights; only the card must be there."""


@dataclasses.dataclass(frozen=True, repr=False)
class Pulled(Shown):
    """A network that is in the user's zoo, its files checked."""

    name: str
    card: BackboneCard
    folder: str
    files: Mapping[str, str]
    """sha256 of each."""

    def _facts(self) -> tuple[Fact, ...]:
        return (
            Fact("", self.name),
            Fact("licence", f"{self.card.licence}; data: {self.card.data_terms}"),
            Fact("trained on", self.card.trained_on),
            Fact("folder", self.folder),
            Fact("files", ", ".join(self.files)),
        )


def pull(
    name: str,
    *,
    place: str | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Pulled:
    """Fetch a published network into the user's zoo; ``--backbone NAME`` then takes it.

    A download that was stopped goes on where it was; nothing is in the zoo before it is whole and its checksums agree.

    Parameters
    ----------
    name
        As ``list`` names it; or ``hf-hub:owner/name``, whose place is in its name.
    place
        Where it was published: an address, a folder, or one that fsspec reads.
    overwrite
        Replace a network of this name.

    Raises
    ------
    BackboneError
        When the place cannot be reached, has no such network, or a file is another one than its index says.
    UsageError
        When the name is taken.

    Examples
    --------
    >>> graftwork.zoo.publish("tiny", "shared").name
    'tiny'
    >>> graftwork.zoo.pull("tiny", place="shared", overwrite=True).card.architecture
    'test_resnet'
    """
    stages = Stages(listener)
    if name.startswith(HUB):
        place, name = name, name.rpartition("/")[2]
    if place is None:
        raise UsageError(f"{name} must have a place to be fetched from; give --from ADDRESS, or hf-hub:owner/name")
    folder = require_free(name, overwrite=overwrite)
    with stages.stage("index"):
        opened = open_place(place)
        files = {} if place.startswith(HUB) else _files(place, name)
    with stages.stage("files"), whole_folder(folder) as part:
        if place.startswith(HUB):
            _fetch_from_hub(opened, part, stages.listener)
        for path, file in files.items():
            _fetch(opened, f"{name}/{path}", part / path, file, stages.listener)
        _require_sound(part)
    return verify(name)


def verify(name: str) -> Pulled:
    """Check a network of the user's zoo: its card, the checksum of its weights, and that they fit its architecture.

    Raises
    ------
    BackboneError
        When one of these does not hold.

    Examples
    --------
    >>> graftwork.zoo.verify("tiny").card.architecture
    'test_resnet'
    """
    name = name.removeprefix(ZOO)
    zoo_card(name)  # near names, where there is none
    folder = zoo_folder() / name
    _require_sound(folder)
    files = {
        path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    return Pulled(name, find_card(f"{ZOO}{name}"), str(folder), files)


def _require_sound(folder: Path) -> None:
    """Raise BackboneError unless the weights in a folder are those of its card, and fit its architecture."""
    from graftwork.backbones.load import load

    card = card_in(folder, folder.name)
    if card.source == "file" and card.weights_sha256 is None:
        raise BackboneError(f"{CARD} of {folder.name} must have the sha256 of {WEIGHTS}, but has none; pull it again")
    load(find_card(str(folder)))


def _fetch(opened: Place, path: str, target: Path, file: File, listener: Listener) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    opened.fetch(
        path, target, sha256=file.sha256, size_bytes=file.size_bytes, partials=cache_folder("downloads"),
        listener=listener,
    )  # fmt: skip


def _fetch_from_hub(opened: Place, folder: Path, listener: Listener) -> None:
    """Fetch a repository's card and what it may have beside it; its weights are those whose checksum the card says."""
    for path in _ON_HUB:
        try:
            (folder / path).write_bytes(opened.read(path, MOST_BYTES))
        except Unreachable:
            raise
        except Unavailable:
            continue
    if not (folder / CARD).is_file():
        raise BackboneError(
            f"{opened.address} must have the card {CARD} of a network that graftwork published, but has none; for a "
            "network of timm's use `--backbone timm:NAME`"
        )
    card = card_in(folder, "pulled")
    if card.source == "file" and card.weights_sha256 is not None:
        _fetch(opened, WEIGHTS, folder / WEIGHTS, File(card.weights_sha256, MOST_WEIGHTS_BYTES), listener)


def _files(address: str, name: str) -> Mapping[str, File]:
    index = read_index(address)
    if name not in index:
        raise BackboneError(
            f"{name} must be a network of {address}, which has {', '.join(index) or 'none'}"
            f"{did_you_mean(name, index)}; `graft zoo list --from` names them"
        )
    return files_of(index[name], name, address)
