"""Files of other programs become networks of the user's zoo: PyTorch's checkpoints, Caffe's networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graftwork.backbones.catalogue import find_card, stated_card
from graftwork.backbones.zoo_folder import ZOO
from graftwork.core.arguments import argument
from graftwork.core.facts import BackboneCard
from graftwork.core.options import InputPx, PositiveShare, Share
from graftwork.core.shown import Fact, Shown
from graftwork.errors import UsageError
from graftwork.files import whole_folder
from graftwork.listener import Listener
from graftwork.progress import Stages
from graftwork.zoo.entries import require_free, write_network

_CAFFE = (".prototxt", ".caffemodel")


@dataclasses.dataclass(frozen=True, repr=False)
class Imported(Shown):
    """A network that was added to the user's zoo."""

    name: str
    card: BackboneCard
    folder: str
    notes: tuple[str, ...]
    """What was recognised, assumed or left out."""

    def _facts(self) -> tuple[Fact, ...]:
        layers = ", ".join(tap.name for tap in self.card.taps)
        return (
            Fact("", self.name),
            Fact("architecture", self.card.architecture),
            Fact("licence", self.card.licence),
            Fact("layers", layers),
            Fact("folder", self.folder),
            *(Fact("note", note) for note in self.notes),
        )


def import_(
    path: str | Path,
    *,
    name: str | None = None,
    architecture: str | None = None,
    weights: str | Path | None = None,
    mean: Sequence[float] | str | Path | None = None,
    std: Sequence[float] | None = None,
    input_px: int | None = None,
    licence: str | None = None,
    pretraining_data: str | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Imported:
    """Add a network of another program to the user's zoo, as safetensors and a card.

    Parameters
    ----------
    path
        A checkpoint of PyTorch, safetensors, or a network of Caffe: its ``deploy.prototxt``, or a folder that has one.
    name
        In the zoo; None takes that of the file.
    architecture
        Of a checkpoint: a name of timm's, or ``torchvision:NAME``; None takes what it or its file name says.
    weights
        The ``.caffemodel``; None takes the one that the folder's readme names, or the only one there.
    mean, std
        Of each channel, 0 to 1, in place of those that the architecture usually has. Of Caffe: a mean file, or three
        numbers from 0 to 255 in the order of its channels.
    input_px
        Side of the input, in pixels.
    licence, pretraining_data
        As they stand on the card; what is not known is ``unknown``.
    overwrite
        Replace a network of this name.

    Raises
    ------
    BackboneError
        When the file is damaged, holds code, or does not fit; nothing is written then.
    UsageError
        When the name is taken, or an option does not belong to this kind of file.

    Examples
    --------
    >>> graftwork.zoo.import_("tiny.pth", architecture="test_resnet", name="mine").card.architecture
    'test_resnet'
    """
    path, stages = Path(path), Stages(listener)
    input_px = argument("input_px", input_px, InputPx | None)
    of_caffe = path.is_dir() or path.suffix in _CAFFE
    others = {"architecture": architecture, "std": std} if of_caffe else {"weights": weights}
    for option in (name for name, value in others.items() if value is not None):
        kind = "a checkpoint of PyTorch" if of_caffe else "a network of Caffe"
        raise UsageError(f"{option} belongs to {kind}, but {path} is none; leave it out")
    with stages.stage("reading"):
        if of_caffe:
            card, tensors, notes = _of_caffe(path, weights, mean, licence, pretraining_data)
            proposed = card.name.partition(":")[2]
        else:
            card, tensors, notes = _of_pytorch(path, architecture)
            proposed = path.name.removesuffix(path.suffix)
            card = _with_normalisation(card, mean, std)
    if input_px is not None:
        card = dataclasses.replace(card, preprocess=dataclasses.replace(card.preprocess, input_px=input_px))
    card = dataclasses.replace(
        card,
        licence=licence or card.licence,
        trained_on=pretraining_data or card.trained_on,
    )
    name = name or proposed
    folder = require_free(name, overwrite=overwrite, instead="another --name, or --overwrite")
    with whole_folder(folder) as part:
        with stages.stage("writing"):
            write_network(part, card, tensors)
        with stages.stage("layers"):
            find_card(str(part))  # one whose layers cannot be taken is not added
    return Imported(name, find_card(f"{ZOO}{name}"), str(folder), notes)


def _of_pytorch(path: Path, architecture: str | None) -> tuple[BackboneCard, Mapping[str, Any], tuple[str, ...]]:
    from graftwork.backbones.checkpoint import read_checkpoint

    beside = path.with_suffix(".json")
    has_facts = path.suffix == ".safetensors" and beside.is_file()
    if has_facts and architecture is None:
        recognised = read_checkpoint(path, card=stated_card(str(path)))
        notes = (*recognised.notes, f"its facts are those of {beside.name}")
    else:
        recognised = read_checkpoint(path, architecture)
        unused = (f"the facts of {beside.name} are not used, since the architecture was given",) if has_facts else ()
        notes = (*recognised.notes, *unused)
    return recognised.card, {name: value.numpy() for name, value in recognised.tensors.items()}, notes


def _of_caffe(
    path: Path,
    weights: str | Path | None,
    mean: Sequence[float] | str | Path | None,
    licence: str | None,
    pretraining_data: str | None,
) -> tuple[BackboneCard, Mapping[str, Any], tuple[str, ...]]:
    from graftwork.backbones.caffe.importing import read_caffe

    source = path.parent if path.suffix == ".caffemodel" else path
    model = path if path.suffix == ".caffemodel" else weights
    imported = read_caffe(
        source,
        None if model is None else Path(model),
        mean=Path(mean) if isinstance(mean, str) else mean,
        licence=licence,
        pretraining_data=pretraining_data,
    )
    return imported.card, imported.tensors, imported.notes


def _with_normalisation(
    card: BackboneCard, mean: Sequence[float] | str | Path | None, std: Sequence[float] | None
) -> BackboneCard:
    values = {}
    for name, given, domain in (("mean", mean, Share), ("std", std, PositiveShare)):
        if given is None:
            continue
        if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 3:
            raise UsageError(f"{name} of a checkpoint must be three numbers, but is {given}; correct it")
        values[name] = tuple(argument(f"{name} of each channel", value, domain) for value in given)
    return dataclasses.replace(card, preprocess=dataclasses.replace(card.preprocess, **values))  # type: ignore[arg-type]
