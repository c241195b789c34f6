"""A network cut at a layer: what lies below is computed once, what lies above is trained.

The cut needs no knowledge of a family, and no tracing. A watched forward pass tells which modules had finished when
the layer gave its output; those become stubs that hand on nothing of the right shape, and the layer itself hands on
the activations that were kept. What Python does between the modules runs as always, on nothing. So the part above
runs exactly the code that the whole network runs.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from graftwork.backbones.graph import CodesNetwork, codes_network, watched_px
from graftwork.backbones.taps import find_points, one_thread
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError


@dataclasses.dataclass(frozen=True)
class Cut:
    """Where a network is cut, and what passes there."""

    layer: str
    module: str
    """Whose output it is."""
    shape: tuple[int, ...]
    """Of the activations of one image."""
    below: tuple[str, ...]
    """Modules that run wholly below the cut; none lies within another."""
    shapes_below: tuple[tuple[int, ...], ...]
    relu: bool
    """Whether the layer ends in a ReLU; what passes is what comes after it, however codes are read."""

    @property
    def bytes_per_image(self) -> int:
        """What the activations of one image take in half precision."""
        return 2 * int(torch.Size(self.shape).numel())


@dataclasses.dataclass
class _Call:
    first: int
    last: int
    shape: tuple[int, ...] | None


def find_cut(network: nn.Module, card: BackboneCard, layer: str) -> Cut:
    """Return the cut above a layer.

    Raises
    ------
    BackboneError
        When the network has no such layer, or has nothing above it to train.
    """
    points = {point.tap.name: point for point in find_points(network, watched_px(network, card))}
    open_to = [
        name
        for name, point in points.items()
        if point.tap.depth < 1 and len(point.sources) == 1 and point.sources[0].side == "output"
    ]
    if layer not in open_to:
        raise BackboneError(f"{card.name} can be frozen up to {', '.join(open_to)}, not up to {layer}; choose of these")
    name = points[layer].sources[0].module
    calls = watched_calls(network, card.preprocess.input_px)
    shape = calls[name].shape
    if shape is None:
        raise BackboneError(f"the layer {layer} of {card.name} gives no tensor to keep; freeze up to another")
    end = calls[name].last
    done = {other for other, call in calls.items() if call.last < end and call.shape is not None}
    within = {other for other in done if other.startswith(f"{name}.")}
    below = [other for other in done - within if not _inside(other, done)]
    below.sort(key=lambda other: calls[other].last)
    shapes_below = tuple(calls[other].shape or () for other in below)
    return Cut(layer, name, shape, tuple(below), shapes_below, points[layer].tap.relu)


def activations_card(card: BackboneCard, cut: Cut) -> BackboneCard:
    """The card whose only codes are the activations at a cut, one after the other, as they are."""
    tap = next(tap for tap in card.taps if tap.name == cut.layer)
    size = int(torch.Size(cut.shape).numel())
    return dataclasses.replace(card, taps=(dataclasses.replace(tap, pool="none", relu=cut.relu, channels=size),))


class Tail(nn.Module):
    """What lies above a cut: activations (n, values) in, the codes of the last layer out."""

    def __init__(self, body: CodesNetwork, cut: Cut, input_px: int) -> None:
        super().__init__()
        self.body = body
        self._shape = cut.shape
        self._blank = torch.zeros(1, 3, input_px, input_px)
        for name, shape in zip(cut.below, cut.shapes_below, strict=True):
            _replace(body.network.get_submodule(name), functools.partial(_nothing, shape))
        self._given = body.network.get_submodule(cut.module)
        # a method of the module itself, so that a copy of the tail hands on what the copy was given
        _replace(self._given, types.MethodType(_hand_on, self._given))

    def forward(self, activations: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Codes of the last layer, as ``CodesNetwork`` gives them."""
        given = activations.reshape(len(activations), *self._shape)
        if given.ndim == 4:  # the gradient of a depthwise convolution is four times slower in the other layout
            given = given.contiguous(memory_format=torch.channels_last)
        self._given.activations = given
        try:
            codes = self.body.codes(self._blank.to(activations.device).expand(len(activations), -1, -1, -1))
        finally:
            del self._given.activations
        return codes


def last_layer_network(network: nn.Module, card: BackboneCard) -> CodesNetwork:
    """The network up to its last layer: pixels (n, px, px, 3) uint8 in, the codes that a head reads out."""
    return codes_network(network, dataclasses.replace(card, taps=card.taps[-1:]))


def _hand_on(module: nn.Module, *_: Any, **__: Any) -> Any:
    return module.activations


def _nothing(shape: tuple[int, ...], value: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Something of a shape that takes no memory."""
    return torch.zeros(1, device=value.device).expand(len(value), *shape)


def _replace(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Let a module hand on something else; its weights go, what else it knows (the size of a grid) is still asked."""
    for part in list(module.modules()):
        part._parameters.clear()
        part._buffers.clear()
    module._modules.clear()
    module.forward = forward


def watched_calls(network: nn.Module, input_px: int) -> dict[str, _Call]:
    """When each module ended its first and its last call in one forward pass, and what it gave."""
    calls: dict[str, _Call] = {}
    step = 0

    def note(name: str, output: Any) -> None:
        nonlocal step
        step += 1
        shape = tuple(output.shape[1:]) if isinstance(output, torch.Tensor) else None
        first = calls[name].first if name in calls else step
        calls[name] = _Call(first, step, shape)

    def listener(name: str) -> Any:
        return lambda _, __, output: note(name, output)

    handles = [module.register_forward_hook(listener(name)) for name, module in network.named_modules() if name]
    try:
        with torch.inference_mode(), one_thread():
            network(torch.zeros(1, 3, input_px, input_px))
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _inside(name: str, others: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in others for length in range(1, len(parts)))
