"""Which networks there are: on this machine, published somewhere, or in the registries of timm and torchvision."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from graftwork.backbones.catalogue import described_before, embedded
from graftwork.backbones.engines import chosen_before
from graftwork.backbones.weights import installed_file
from graftwork.backbones.zoo_folder import WEIGHTS, zoo_card, zoo_folder, zoo_names
from graftwork.core.arguments import argument
from graftwork.core.facts import BackboneCard
from graftwork.core.options import SortBy
from graftwork.core.shown import Fact, Shown
from graftwork.errors import GraftError
from graftwork.listener import Listener
from graftwork.progress import Stages

COUNTED = 100
"""Architectures of timm whose parameters are counted where no more are listed: each is built, without values."""


@dataclasses.dataclass(frozen=True)
class Listed:
    """A network in a list, with what is known of it without loading it."""

    name: str
    """As ``--backbone`` takes it."""
    family: str
    licence: str
    trained_on: str
    input_px: int | None
    params_millions: float | None = None
    gmacs: float | None = None
    """Billions of multiply-accumulates of an image."""
    size_mb: float | None = None
    """Of its file on this machine."""
    top1: float | None = None
    """Accuracy on the source that the registry or the card states, 0 to 1."""
    images_per_second: float | None = None
    """As it was measured on this machine."""
    problem: str = ""
    """Why its card cannot be read."""


@dataclasses.dataclass(frozen=True, repr=False)
class Network(Shown):
    """A network, its licence first."""

    card: BackboneCard
    where: str
    """The file of its weights, or the place that they are fetched from."""
    images_per_second: Mapping[str, float]
    """By engine, as measured on this machine."""

    def _facts(self) -> tuple[Fact, ...]:
        card, fed = self.card, self.card.preprocess
        rates = ", ".join(f"{rate:.0f} ({engine})" for engine, rate in self.images_per_second.items())
        size = [] if card.params_millions is None else [f"{card.params_millions:.1f} million parameters"]
        size += [] if card.gmacs is None else [f"{card.gmacs:.2f} GMACs"]
        return (
            Fact("", card.name),
            Fact("licence", f"{card.licence}; data: {card.data_terms}"),
            Fact("trained on", card.trained_on),
            Fact("architecture", ", ".join([card.architecture, *size])),
            Fact(
                "input",
                f"{fed.input_px} px, {fed.aspect}, {fed.interpolation}, crop {fed.crop_fraction:.3f}, {fed.channels}, "
                f"mean {_numbers(fed.mean)}, std {_numbers(fed.std)}",
            ),
            Fact("layers", ", ".join(tap.name for tap in card.taps) or "known once it was used"),
            Fact("batch norm", card.batchnorm_statistics),
            Fact("images a second here", rates or "not measured yet"),
            Fact("weights", self.where),
            Fact("sha256", card.weights_sha256 or "not recorded"),
        )


def list_networks(
    *,
    place: str | None = None,
    matching: str = "*",
    licence: str | None = None,
    sort: SortBy = "name",
    listener: Listener | None = None,
) -> tuple[Listed, ...]:
    """List networks: those of this machine, or those of another place.

    Parameters
    ----------
    place
        ``timm``, ``torchvision``, or where networks were published: an address, a folder; None is this machine.
    matching
        A pattern of names with ``*`` and ``?``.
    licence
        Only networks whose licence holds this word.
    sort
        ``size`` and ``operations`` begin with the smallest, ``speed`` and ``accuracy`` with the best; what is not
        known comes last.

    Raises
    ------
    GraftError
        When the place cannot be read.

    Examples
    --------
    >>> [network.name for network in graftwork.zoo.list(matching="*lite0")]
    ['efficientnet_lite0']
    """
    sort = argument("sort", sort, SortBy)
    stages = Stages(listener)
    with stages.stage("networks"):
        every: Iterator[Listed]
        match place:
            case None:
                every = _of_this_machine()
            case "timm":
                every = _of_timm(matching, stages.listener)
            case "torchvision":
                every = _of_torchvision()
            case _:
                every = _of_place(place)
        rows = [row for row in every if _matches(row, matching) and (licence or "").lower() in row.licence.lower()]
    return tuple(sorted(rows, key=_ORDERS[sort]))


def show(name: str) -> Network:
    """Show what is known of a network, before its weights are fetched where they are not here.

    Raises
    ------
    BackboneError
        When no such network is known.

    Examples
    --------
    >>> graftwork.zoo.show("efficientnet_lite0").card.licence
    'Apache-2.0'
    """
    from graftwork.backbones.catalogue import stated_card

    card = stated_card(name)
    known = described_before(card) or card
    choice = chosen_before(known)
    return Network(known, known.weights, {} if choice is None else choice.images_per_second)


def _of_this_machine() -> Iterator[Listed]:
    for card in embedded():
        file = installed_file(card)
        if file is not None:
            yield _listed(card, card.name.partition(":")[2], file)
    for name in zoo_names():
        try:
            yield _listed(zoo_card(name), name, zoo_folder() / name / WEIGHTS)
        except GraftError as error:
            yield Listed(name, "", "unknown", "unknown", None, problem=str(error))


def _listed(card: BackboneCard, name: str, file: Path) -> Listed:
    known = described_before(card) or card
    choice = chosen_before(known)
    return Listed(
        name=name,
        family=family_of(card.architecture),
        licence=card.licence,
        trained_on=card.trained_on,
        input_px=card.preprocess.input_px,
        params_millions=known.params_millions,
        gmacs=known.gmacs,
        size_mb=round(file.stat().st_size / 1e6, 1) if file.is_file() else None,
        top1=card.top1_on_photos,
        images_per_second=None if choice is None else max(choice.images_per_second.values(), default=None),
    )


def _of_timm(matching: str, listener: Listener) -> Iterator[Listed]:
    from graftwork.backbones.architectures import RegistryNetwork, timm_networks, timm_parameters

    every = list(timm_networks(matching))
    counted: dict[str, float] = {}
    architectures = list(dict.fromkeys(network.architecture for network in every))
    if len(architectures) <= COUNTED:
        for done, architecture in enumerate(architectures, 1):
            counted[architecture] = timm_parameters(architecture)
            listener.progress(done, len(architectures))
    else:
        listener.say(
            f"{len(architectures)} architectures match; parameters are counted where {COUNTED} or fewer do: narrow the "
            "--filter"
        )

    def row(network: RegistryNetwork) -> Listed:
        return Listed(
            name=f"timm:{network.name}", family=family_of(network.architecture), licence=network.licence,
            trained_on=network.trained_on, input_px=network.input_px,
            params_millions=counted.get(network.architecture),
        )  # fmt: skip

    yield from map(row, every)


def _of_torchvision() -> Iterator[Listed]:
    from graftwork.backbones.architectures import torchvision_networks

    for network in torchvision_networks():
        yield Listed(
            name=f"torchvision:{network.name}", family=family_of(network.name), licence=network.licence,
            trained_on=network.trained_on, input_px=network.input_px, params_millions=network.params_millions,
            gmacs=network.gmacs, size_mb=network.size_mb, top1=network.top1,
        )  # fmt: skip


def _of_place(place: str) -> Iterator[Listed]:
    from graftwork.zoo.published import read_index

    for name, network in read_index(place).items():
        card = network.card
        size_mb = round(network.files[WEIGHTS].size_bytes / 1e6, 1) if WEIGHTS in network.files else None
        yield dataclasses.replace(_listed(card, name, Path()), size_mb=size_mb)


def family_of(architecture: str) -> str:
    """Return the family of an architecture: ``mobilenetv3`` of ``tf_mobilenetv3_small_075``.

    Examples
    --------
    >>> family_of("tf_efficientnet_lite0"), family_of("torchvision:resnet50")
    ('efficientnet', 'resnet')
    """
    plain = architecture.rpartition(":")[2].removeprefix("tf_")
    first = re.match(r"[a-z]+?(?:v\d+)?(?=[\d_.-]|$)", plain)
    return first[0] if first else plain


def _matches(row: Listed, pattern: str) -> bool:
    return fnmatch.fnmatch(row.name, pattern) or fnmatch.fnmatch(row.name.partition(":")[2], pattern)


def _small_first(value: float | None) -> tuple[bool, float]:
    return (value is None, value or 0.0)


def _large_first(value: float | None) -> tuple[bool, float]:
    return (value is None, -(value or 0.0))


_ORDERS: Mapping[str, Callable[[Listed], Any]] = {
    "name": lambda row: row.name,
    "size": lambda row: (_small_first(row.size_mb or row.params_millions), row.name),
    "operations": lambda row: (_small_first(row.gmacs), row.name),
    "speed": lambda row: (_large_first(row.images_per_second), row.name),
    "input": lambda row: (_small_first(row.input_px), row.name),
    "licence": lambda row: (row.licence, row.name),
    "family": lambda row: (row.family, row.name),
    "accuracy": lambda row: (_large_first(row.top1), row.name),
}


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
