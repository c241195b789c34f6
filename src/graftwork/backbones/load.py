"""A card becomes a network in eval mode with its weights, through timm or torchvision; every tensor must fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from graftwork.backbones.caffe.network import empty_network, random_network
from graftwork.backbones.embedded import renamed
from graftwork.backbones.processes import let_torch_answer
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.backbones.weights import weights_file
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError

TORCHVISION = "torchvision:"
"""Begins the name of an architecture that is not timm's."""

Tensors = dict[str, torch.Tensor]


def load(card: BackboneCard) -> nn.Module:
    """Return the network of a card in eval mode, its weights in float32, on the CPU.

    Its own classifier is kept where the weights have one. A transformer's position embeddings are fitted to
    ``card.preprocess.input_px``.

    Raises
    ------
    BackboneError
        When the weights cannot be found or fetched, are not what the card says, or do not fit the architecture.
    """
    path = weights_file(card)
    make_torchvision_importable()
    let_torch_answer()
    network = _builder(card).trained(card, path)
    _fit_to_input(network, card)
    return network.eval()


def untrained(card: BackboneCard, seed: int) -> nn.Module:
    """Return the architecture of a card with random weights, drawn from a seed.

    Raises
    ------
    BackboneError
        When the architecture cannot be made.
    """
    make_torchvision_importable()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _builder(card).untrained(card)
    _fit_to_input(network, card)
    return network.eval()


def empty(card: BackboneCard) -> nn.Module:
    """Return the architecture of a card with tensors that have names and shapes, but no values.

    Raises
    ------
    BackboneError
        When the architecture cannot be made.
    """
    make_torchvision_importable()
    with torch.device("meta"):
        return _builder(card).untrained(card)


def batchnorm_statistics(network: nn.Module) -> Literal["none", "identity", "unknown"]:
    """Return whether a network has batch norm, and whether its statistics are real.

    Files converted from a source that had folded them hold mean 0 and variance 1 everywhere: right in eval mode,
    useless the moment the network is trained.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
    if not norms:
        return "none"
    identity = all(_is(m.running_mean, 0.0) and _is(m.running_var, 1.0) for m in norms)
    return "identity" if identity else "unknown"


def _is(values: torch.Tensor | None, constant: float) -> bool:
    return values is None or bool(torch.all(torch.eq(values, constant)))


@dataclasses.dataclass(frozen=True)
class _Builder:
    """How a library makes the network of a card."""

    untrained: Callable[[BackboneCard], nn.Module]
    trained: Callable[[BackboneCard, Path], nn.Module]
    """With the weights of a file."""


def _builder(card: BackboneCard) -> _Builder:
    return _BUILDERS[card.library]


def _timm(card: BackboneCard, **loading: Any) -> nn.Module:
    import timm

    try:
        network = timm.create_model(card.architecture, **loading, **card.model_args)
    except (ValueError, RuntimeError, TypeError) as error:
        raise _unfit(card, error) from error
    assert isinstance(network, nn.Module)
    return network


def _timm_trained(card: BackboneCard, path: Path) -> nn.Module:
    if card.source == "timm":  # timm converts what its hub has from other projects
        return _timm(card, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    network = _timm(card)
    tensors = _read(path, card)
    if card.source == "package":
        tensors = renamed(tensors, network)
    if _mismatches(network, tensors):
        _fit_to_input(network, card)  # weights saved with a model are fitted to its input already
    _fill(network, tensors, card)
    return network


def _torchvision(card: BackboneCard, **more: Any) -> nn.Module:
    import torchvision

    name = card.architecture.removeprefix(TORCHVISION)
    try:
        network = torchvision.models.get_model(name, weights=None, **more, **card.model_args)
    except (ValueError, RuntimeError, TypeError) as error:
        raise _unfit(card, error) from error
    assert isinstance(network, nn.Module)
    return network


def _torchvision_trained(card: BackboneCard, path: Path) -> nn.Module:
    tensors = _read(path, card)
    if not card.architecture.startswith(f"{TORCHVISION}vit_"):
        network = _torchvision(card)
    else:
        from torchvision.models.vision_transformer import interpolate_embeddings

        px = card.preprocess.input_px
        network = _torchvision(card, **({} if "image_size" in card.model_args else {"image_size": px}))
        if _mismatches(network, tensors):
            try:
                tensors = interpolate_embeddings(px, network.patch_size, tensors)
            except (ValueError, RuntimeError, TypeError) as error:
                raise _unfit(card, error) from error
    _fill(network, tensors, card)
    return network


def _caffe_trained(card: BackboneCard, path: Path) -> nn.Module:
    network = empty_network(card)
    _fill(network, _read(path, card), card, assign=True)
    return network


_BUILDERS = {
    "timm": _Builder(_timm, _timm_trained),
    "torchvision": _Builder(_torchvision, _torchvision_trained),
    "caffe": _Builder(random_network, _caffe_trained),
}


def _read(path: Path, card: BackboneCard) -> Tensors:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise BackboneError(f"{path} must be whole safetensors, but: {error}; fetch it again") from error
    # only a package's or torchvision's own file, whose checksum is known, comes as a pickle; no code in it is run
    tensors: Tensors = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def _fill(network: nn.Module, tensors: Tensors, card: BackboneCard, *, assign: bool = False) -> None:
    """Set every tensor of a network; with ``assign``, those of one that has no memory for its own."""
    try:
        network.load_state_dict(tensors, strict=True, assign=assign)
    except RuntimeError as error:
        raise _unfit(card, error) from error


def _mismatches(network: nn.Module, tensors: Tensors) -> bool:
    """Whether the weights have the network's names, but not all its shapes."""
    own = network.state_dict()
    return own.keys() == tensors.keys() and any(own[name].shape != value.shape for name, value in tensors.items())


def _unfit(card: BackboneCard, error: Exception) -> BackboneError:
    why = " ".join(str(error).split())
    why = why if len(why) < 300 else why[:297] + "..."
    return BackboneError(
        f"{card.name} must fit the architecture {card.architecture}, but: {why}; correct `architecture` or "
        "`model_args` (num_classes among them) in the card, or update timm"
    )


def _fit_to_input(network: nn.Module, card: BackboneCard) -> None:
    """Fit position embeddings and windows to the input's size; timm's transformers know how."""
    px = card.preprocess.input_px
    patches = getattr(network, "patch_embed", None)
    resize: Any = getattr(network, "set_input_size", None)
    if resize is None or tuple(getattr(patches, "img_size", None) or ()) == (px, px):
        return
    try:
        resize(img_size=(px, px))
    except (AssertionError, ValueError, RuntimeError) as error:
        raise BackboneError(
            f"{card.name} must be able to take {px} px, but: {' '.join(str(error).split())}; choose another --input-px"
        ) from error
