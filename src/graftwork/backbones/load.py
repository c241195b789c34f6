"""A card becomes a network in eval mode with its weights, through timm or torchvision; every tensor must fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

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
    if card.architecture.startswith(TORCHVISION):
        network = _from_torchvision(card, path)
    elif card.source == "timm":
        network = _timm_network(card, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    else:
        network = _timm_network(card)
        tensors = _read(path, card)
        tensors = _renamed(tensors, network) if card.source == "package" else tensors
        if _mismatches(network, tensors):
            _fit_to_input(network, card)  # weights saved with a model are fitted to its input already
        _fill(network, tensors, card)
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
        if card.architecture.startswith(TORCHVISION):
            import torchvision

            name = card.architecture.removeprefix(TORCHVISION)
            network: nn.Module = torchvision.models.get_model(name, weights=None, **card.model_args)
        else:
            network = _timm_network(card)
    _fit_to_input(network, card)
    return network.eval()


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


def _timm_network(card: BackboneCard, **loading: Any) -> nn.Module:
    import timm

    try:
        network = timm.create_model(card.architecture, **loading, **card.model_args)
    except (ValueError, RuntimeError, TypeError) as error:
        raise _unfit(card, error) from error
    assert isinstance(network, nn.Module)
    return network


def _from_torchvision(card: BackboneCard, path: Path) -> nn.Module:
    import torchvision

    name = card.architecture.removeprefix(TORCHVISION)
    px = card.preprocess.input_px
    transformer = name.startswith("vit_")
    tensors = _read(path, card)
    try:
        args = {"image_size": px, **card.model_args} if transformer else card.model_args
        network = torchvision.models.get_model(name, weights=None, **args)
        if transformer and _mismatches(network, tensors):
            tensors = torchvision.models.vision_transformer.interpolate_embeddings(px, network.patch_size, tensors)
    except (ValueError, RuntimeError, TypeError) as error:
        raise _unfit(card, error) from error
    assert isinstance(network, nn.Module)
    _fill(network, tensors, card)
    return network


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


def _fill(network: nn.Module, tensors: Tensors, card: BackboneCard) -> None:
    try:
        network.load_state_dict(tensors, strict=True)
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


_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_BLOCK = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}  # fmt: skip
_BLOCK_WITHOUT_EXPANSION = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def _renamed(tensors: Tensors, network: nn.Module) -> Tensors:
    """The tensors of the embedded EfficientNet-Lites under the names that timm gives them."""
    places = list(_block_places(network))
    expanded = {int(name.split(".")[1]) for name in tensors if "._expand_conv." in name}
    renamed: Tensors = {}
    for name, value in tensors.items():
        block = re.match(r"_blocks\.(\d+)\.(.+)", name)
        if block is None:
            part, _, rest = name.partition(".")
            renamed[f"{_TOP[part]}.{rest}"] = value
        else:
            number = int(block[1])
            part, _, rest = block[2].partition(".")
            parts = _BLOCK if number in expanded else _BLOCK_WITHOUT_EXPANSION
            renamed[f"blocks.{places[number]}.{parts[part]}.{rest}"] = value
    return renamed


def _block_places(network: nn.Module) -> Iterator[str]:
    """``stage.block`` of every block in order: the source counts them through."""
    stages = network.get_submodule("blocks")
    for stage, blocks in stages.named_children():
        for block, _ in blocks.named_children():
            yield f"{stage}.{block}"
