"""A network cut at a layer: what is below is computed once, what is above is trained.

The cut needs no knowledge of a family of networks, and no tracing. One forward pass with hooks shows which modules had
finished when the layer returned its output. Those become stubs that return zeros of the right shape, and the layer
itself returns the cached activations. What Python does between the modules runs as always, on the zeros. So the part
above the cut runs exactly the code that the whole network runs.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from graftwork.backbones.forward_pass import one_thread
from graftwork.backbones.graph import CodesNetwork, codes_network, watched_px
from graftwork.backbones.load import load
from graftwork.backbones.taps import Point, find_points
from graftwork.core.facts import BackboneCard, Tap, digest_of
from graftwork.errors import BackboneError


@dataclasses.dataclass(frozen=True)
class Cut:
    """Where a network is cut, and the activations that pass there."""

    layer: str
    module: str
    """Dotted path of the module whose output they are."""
    shape: tuple[int, ...]
    """Of the activations of one image."""
    below: tuple[str, ...]
    """Modules that run entirely below the cut; none contains another."""
    shapes_below: tuple[tuple[int, ...], ...]
    relu: bool
    """Whether the layer ends in a ReLU; activations are those after it, whatever codes are taken."""

    @property
    def values_per_image(self) -> int:
        """Number of activations of one image."""
        return int(torch.Size(self.shape).numel())

    @property
    def bytes_per_image(self) -> int:
        """Size of the activations of one image in half precision."""
        return 2 * self.values_per_image


@dataclasses.dataclass
class ModuleCall:
    """When a module returned in one forward pass, counted in returns of all modules, and the shape of its output."""

    first: int
    last: int
    shape: tuple[int, ...] | None


def cut_of(card: BackboneCard, layer: str) -> Cut:
    """Return the cut of a card's network above a layer; the network is loaded once per process, for all of its cuts.

    Raises
    ------
    BackboneError
        As ``find_cut``, and when the network cannot be loaded.
    """
    key = digest_of(dataclasses.asdict(card))
    if key not in _WATCHED:
        _WATCHED[key] = _watched(load(card), card)
    return _cut(_WATCHED[key], card, layer)


def find_cut(network: nn.Module, card: BackboneCard, layer: str) -> Cut:
    """Return the cut above a layer.

    Raises
    ------
    BackboneError
        When the network has no such layer, or has nothing above it to train.
    """
    return _cut(_watched(network, card), card, layer)


@dataclasses.dataclass(frozen=True)
class _Watched:
    """What a forward pass shows of a network: its layers, and when which module returned what."""

    points: dict[str, Point]
    calls: dict[str, ModuleCall]


_WATCHED: dict[str, _Watched] = {}
"""By digest of the card: facts, and small; the network that shows them is not."""


def _watched(network: nn.Module, card: BackboneCard) -> _Watched:
    points = {point.tap.name: point for point in find_points(network, watched_px(network, card))}
    return _Watched(points, module_calls(network, card.preprocess.input_px))


def _cut(seen: _Watched, card: BackboneCard, layer: str) -> Cut:
    points, calls = seen.points, seen.calls
    possible = [
        name
        for name, point in points.items()
        if point.tap.depth < 1 and len(point.sources) == 1 and point.sources[0].side == "output"
    ]
    if layer not in possible:
        raise BackboneError(
            f"{card.name} can be frozen up to {', '.join(possible)}, not up to {layer}; choose of these"
        )
    name = points[layer].sources[0].module
    shape = calls[name].shape
    if shape is None:
        raise BackboneError(f"the layer {layer} of {card.name} gives no tensor to cache; freeze up to another")
    end = calls[name].last
    done = {other for other, call in calls.items() if call.last < end and call.shape is not None}
    within = {other for other in done if other.startswith(f"{name}.")}
    below = [other for other in done - within if not _inside(other, done)]
    below.sort(key=lambda other: calls[other].last)
    shapes_below = tuple(calls[other].shape or () for other in below)
    return Cut(layer, name, shape, tuple(below), shapes_below, points[layer].tap.relu)


def activations_tap(card: BackboneCard, cut: Cut) -> Tap:
    """Return the tap that gives the activations at a cut, flattened and not pooled."""
    tap = next(tap for tap in card.taps if tap.name == cut.layer)
    return dataclasses.replace(
        tap, name=f"{tap.name}, whole", at=tap.name, pool="none", relu=cut.relu, channels=cut.values_per_image
    )


class Tail(nn.Module):
    """The part of a network above a cut: activations (n, values) in, the codes of the last layer out."""

    def __init__(self, body: CodesNetwork, cut: Cut, input_px: int) -> None:
        super().__init__()
        self.body = body
        self._shape = cut.shape
        self._blank = torch.zeros(1, 3, input_px, input_px)
        for name, shape in zip(cut.below, cut.shapes_below, strict=True):
            _replace(body.network.get_submodule(name), functools.partial(_zeros, shape))
        self._cut_module = body.network.get_submodule(cut.module)
        # a method of the module itself, so that a copy of the tail returns what the copy was given
        _replace(self._cut_module, types.MethodType(_activations_of, self._cut_module))

    def forward(self, activations: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Codes of the last layer, as ``CodesNetwork`` gives them."""
        given = activations.reshape(len(activations), *self._shape)
        if given.ndim == 4:  # the gradient of a depthwise convolution is four times slower in the other layout
            given = given.contiguous(memory_format=torch.channels_last)
        self._cut_module.activations = given
        try:
            codes = self.body.codes(self._blank.to(activations.device).expand(len(activations), -1, -1, -1))
        finally:
            del self._cut_module.activations
        return codes


def last_layer_network(network: nn.Module, card: BackboneCard) -> CodesNetwork:
    """Return the network up to its last layer: pixels (n, px, px, 3) uint8 in, the codes under a head out."""
    return codes_network(network, dataclasses.replace(card, taps=card.taps[-1:]))


def freeze(network: nn.Module, cut: Cut) -> None:
    """Stop the gradient of everything at or below the cut, and of what belongs to no module that runs above it."""
    above = set(network.modules())
    for name in (*cut.below, cut.module):
        above -= set(network.get_submodule(name).modules())
    root = network
    for module in network.modules():
        if module not in above or module is root:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)


def module_calls(network: nn.Module, input_px: int) -> dict[str, ModuleCall]:
    """Return when each module returned for the first and the last time in one forward pass, and its output's shape."""
    calls: dict[str, ModuleCall] = {}
    step = 0

    def note(name: str, output: Any) -> None:
        nonlocal step
        step += 1
        shape = tuple(output.shape[1:]) if isinstance(output, torch.Tensor) else None
        first = calls[name].first if name in calls else step
        calls[name] = ModuleCall(first, step, shape)

    def hook(name: str) -> Any:
        return lambda _, __, output: note(name, output)

    handles = [module.register_forward_hook(hook(name)) for name, module in network.named_modules() if name]
    try:
        with torch.inference_mode(), one_thread():
            network(torch.zeros(1, 3, input_px, input_px))
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _activations_of(module: nn.Module, *_: Any, **__: Any) -> Any:
    return module.activations


def _zeros(shape: tuple[int, ...], value: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Zeros of a shape that take no memory."""
    return torch.zeros(1, device=value.device).expand(len(value), *shape)


def _replace(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Give a module another ``forward`` and drop its weights; other attributes (the size of a grid) are still used."""
    for part in list(module.modules()):
        part._parameters.clear()
        part._buffers.clear()
    module._modules.clear()
    module.forward = forward


def _inside(name: str, others: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in others for length in range(1, len(parts)))
