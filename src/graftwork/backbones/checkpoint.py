"""Other people's checkpoints: which of their tensors are a network's, under which prefix, with which head."""

from __future__ import annotations

import argparse
import dataclasses
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from graftwork.backbones.architectures import bare_card
from graftwork.backbones.file_formats import require_weights_file
from graftwork.backbones.load import TORCHVISION, empty
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError, did_you_mean

Tensors = dict[str, torch.Tensor]
_NAMED = 5
"""Tensors that a message names."""
_OWN_HEAD = "num_classes"
_COUNTER = "num_batches_tracked"
"""Counts the batches that a batch norm has seen; files from before it existed lack it, and nothing depends on it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Recognised:
    """A checkpoint as a network's tensors."""

    card: BackboneCard
    """Complete but for its layers; its ``model_args`` have the number of classes of the checkpoint's own head."""
    tensors: Tensors
    """Under the network's own names."""
    notes: tuple[str, ...]
    """What was recognised, stripped or left out, in sentences for people."""


def read_checkpoint(path: Path, architecture: str | None = None, *, card: BackboneCard | None = None) -> Recognised:
    """Read a checkpoint of a network that timm or torchvision builds.

    Parameters
    ----------
    path
        ``.safetensors``, or a pickle of tensors and plain values: nothing in it is run.
    architecture
        Name of timm's, or ``torchvision:NAME``; None takes what the checkpoint or its file name says.
    card
        What is known of the network already; its architecture is taken then.

    Raises
    ------
    BackboneError
        When the file is damaged or holds code, has no tensors, or they do not fit the architecture.
    """
    contents = _contents(path)
    groups = dict(_groups(contents))
    if not groups:
        raise BackboneError(f"{path} must hold the tensors of a network by name, but holds none; choose another file")
    card = card or bare_card(architecture or _stated(contents), path)
    label = _best_group(groups)
    notes = [f"of {', '.join(groups)}, {label} is taken"] if len(groups) > 1 else []
    own = empty(card).state_dict()
    prefix, tensors = _without_prefix(groups[label], own)
    if prefix:
        notes.append(f"the prefix {prefix} of its tensors is left out")
    card, own, more = _with_head(card, dict(own), tensors)
    fitted, left_out = _fitted(own, tensors, path, card)
    notes += more
    if left_out:
        notes.append(f"{len(left_out)} tensors that {card.architecture} does not have are left out: {_few(left_out)}")
    return Recognised(card, fitted, tuple(notes))


def _contents(path: Path) -> Any:
    require_weights_file(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise BackboneError(f"{path} must be whole safetensors, but: {error}; fetch it again") from error
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # the options of a training, in timm's files
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is None:
            raise BackboneError(
                f"{path} must be a checkpoint of PyTorch, but cannot be read; fetch it again"
            ) from error
        raise BackboneError(
            f"{path} must hold tensors and plain values alone, but reading it would call {code[1]}: nothing of it was "
            "run; ask its author for safetensors"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError) as error:
        raise BackboneError(f"{path} must be a whole checkpoint of PyTorch, but is damaged; fetch it again") from error


def _groups(contents: Any, label: str = "the file", depth: int = 3) -> Iterator[tuple[str, Tensors]]:
    """Every mapping of names to tensors, by the key that it stands under."""
    if not isinstance(contents, Mapping):
        return
    tensors = {str(name): value.detach() for name, value in contents.items() if isinstance(value, torch.Tensor)}
    if any(value.ndim for value in tensors.values()):  # single numbers are counters of a training
        yield label, tensors
        return
    for key, value in contents.items():
        if depth and key != "optimizer":
            yield from _groups(value, str(key), depth - 1)


def _best_group(groups: Mapping[str, Tensors]) -> str:
    """Averaged weights where there are some, as timm takes them; otherwise those that hold most numbers."""
    averaged = [label for label in groups if "ema" in label.lower()]
    return max(averaged or groups, key=lambda label: sum(value.numel() for value in groups[label].values()))


def _stated(contents: Any) -> str | None:
    """The architecture that a checkpoint says it has."""
    arch = contents.get("arch") if isinstance(contents, Mapping) else None
    return arch if isinstance(arch, str) else None


def _without_prefix(tensors: Tensors, own: Mapping[str, torch.Tensor]) -> tuple[str, Tensors]:
    """Leave out the prefix under which most names are the network's; wrappers nest, such as ``module.model.``."""
    prefixes = {""}
    for name in tensors:
        parts = name.split(".")
        prefixes |= {".".join(parts[:n]) + "." for n in range(1, min(len(parts), 4))}

    def stripped(prefix: str) -> Tensors:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    best = max(sorted(prefixes, key=len), key=lambda prefix: len(own.keys() & stripped(prefix).keys()))
    return best, stripped(best)


def _with_head(card: BackboneCard, own: Tensors, tensors: Tensors) -> tuple[BackboneCard, Tensors, list[str]]:
    """The card and the tensors of the network with as many classes as the checkpoint's head has."""
    differing = {name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape}
    heads = {tensors[name].shape[0] for name in differing if own[name].shape[1:] == tensors[name].shape[1:]}
    missing = own.keys() - tensors.keys()
    if len(heads) == 1 and differing:
        classes = heads.pop()
        note = f"its own classifier has {classes} classes"
    elif missing and not differing and not card.architecture.startswith(TORCHVISION):
        classes = 0
        note = "it has no classifier of its own"
    else:
        return card, own, []
    with_head = dataclasses.replace(card, model_args={**card.model_args, _OWN_HEAD: classes})
    other = empty(with_head).state_dict()
    if any(other[name].shape != tensors[name].shape for name in other.keys() & tensors.keys()):
        return card, own, []
    return with_head, other, [note]


def _fitted(
    own: Mapping[str, torch.Tensor], tensors: Tensors, path: Path, card: BackboneCard
) -> tuple[Tensors, list[str]]:
    """The network's tensors from those of the checkpoint, and the names of others."""
    shapes = [
        f"{name} {tuple(tensors[name].shape)} in place of {tuple(own[name].shape)}"
        for name in own
        if name in tensors and own[name].shape != tensors[name].shape
    ]
    missing = [name for name in own if name not in tensors and not name.endswith(_COUNTER)]
    if shapes or missing:
        what = f"{len(shapes)} have other shapes ({_few(shapes)})" if shapes else f"{_few(missing)} are missing"
        near = did_you_mean(missing[0], tensors) if missing and not shapes else ""
        raise BackboneError(
            f"{path} must have every tensor of {card.architecture}, but {what}{near}; give the `--architecture` that "
            "it was saved from"
        )
    fitted = {
        name: tensors[name].to(value.dtype).contiguous()
        if name in tensors
        else torch.zeros(value.shape, dtype=value.dtype)
        for name, value in own.items()
    }
    return fitted, [name for name in tensors if name not in own]


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
