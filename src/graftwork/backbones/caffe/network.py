"""The module of a network of Caffe: one submodule a blob, which holds the layers that write it."""

from __future__ import annotations

import functools

import torch
from torch import nn

from graftwork.backbones.caffe.modules import module_of
from graftwork.backbones.caffe.names import PROTOTXT, blob_names, layer_names
from graftwork.backbones.caffe.operations import BatchNorm, Convolution, InnerProduct
from graftwork.backbones.caffe.structure import Blob, Structure, structured
from graftwork.backbones.caffe.upgrade import read_net
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError

_MOST_WEIGHTS = 2**30


class CaffeNetwork(nn.Module):
    """Planes (n, 3, px, px) to what the network gives before its softmax; blobs are modules of their names."""

    def __init__(self, structure: Structure) -> None:
        super().__init__()
        names = blob_names(structure)
        self.trunk = tuple(names[name] for name in structure.trunk)
        if structure.one_size:
            self.image_size = structure.input_px
        until = {name: i for i, blob in enumerate(structure.blobs) for name in blob.inputs}
        self._plan: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = []
        for i, blob in enumerate(structure.blobs):
            self.add_module(names[blob.name], _BlobModule(blob))
            done = tuple(name for name in dict.fromkeys(blob.inputs) if until[name] == i and name != blob.name)
            self._plan.append((names[blob.name], blob.name, blob.inputs, done))
        self._input = structure.input

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """(n, k) where the network ends in a classifier; else its last blob."""
        blobs = {self._input: planes}
        last = self._input
        for module, last, inputs, done in self._plan:
            blobs[last] = self._modules[module](*[blobs[name] for name in inputs])  # type: ignore[misc]
            for name in done:
                del blobs[name]  # an image's blobs together are many times its largest
        output = blobs[last]
        return output.flatten(1) if output.shape[2:].numel() == 1 else output


class _BlobModule(nn.Sequential):
    """The layers that write one blob: the first reads other blobs, each later one works on its result."""

    def __init__(self, blob: Blob) -> None:
        super().__init__()
        fresh = False
        for step, name in zip(blob.steps, layer_names(blob), strict=True):
            self.add_module(name, module_of(step.operation, in_place=fresh))
            # what these give nobody else holds, and no gradient needs it
            fresh = isinstance(step.operation, (Convolution, InnerProduct, BatchNorm))

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        first, *later = self._modules.values()
        value = first(*inputs)
        for module in later:
            value = module(value)
        assert isinstance(value, torch.Tensor)
        return value


def empty_network(card: BackboneCard) -> nn.Module:
    """Return the network of a card without memory for its tensors, for weights to be assigned to.

    Raises
    ------
    BackboneError
        When the card has no prototxt, or that is not understood.
    """
    structure = structure_of(card)
    with torch.device("meta"):
        return CaffeNetwork(structure)


def random_network(card: BackboneCard) -> nn.Module:
    """Return the network of a card with weights drawn as for layers with ReLU (He et al. 2015).

    Raises
    ------
    BackboneError
        As ``empty_network``, and when the network is too large for any use.
    """
    weights = sum(parameter.numel() for parameter in empty_network(card).parameters())
    if weights > _MOST_WEIGHTS:
        raise BackboneError(f"{card.name} must have at most {_MOST_WEIGHTS:,} weights, but has {weights:,}; check it")
    network = CaffeNetwork(structure_of(card))
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def structure_of(card: BackboneCard) -> Structure:
    """Return the structure of a card's network.

    Raises
    ------
    BackboneError
        When the card has no prototxt, or that is not understood.
    """
    text = card.model_args.get(PROTOTXT)
    if not isinstance(text, str) or len(card.model_args) > 1:
        raise BackboneError(
            f"{card.name} must have the text of its network as `{PROTOTXT}`, and nothing else, in `model_args`; import "
            "the network again"
        )
    return _structure(text, card.name)


@functools.lru_cache(maxsize=8)
def _structure(text: str, where: str) -> Structure:
    return structured(read_net(text, where), where)
