"""Where in a network's input the evidence for a class is: the margin of the class, taken apart by place.

The head is linear, so the margin of a class over the others is a sum of one part for each layer under it. A layer that
is pooled over its positions is a sum over these in turn: gradient times activation, the summands, is exact there
(class activation mapping, Zhou et al. 2016). A layer without positions of its own, such as a class token or a fully
connected layer, is followed back to the last place of the trunk whose positions reach it, by Grad-CAM (Selvaraju et
al. 2017). Chosen by measurement: ``benchmarks/explain.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from graftwork.backbones.forward_pass import Source, one_thread
from graftwork.backbones.graph import CodesNetwork, codes_network, watched_px
from graftwork.backbones.load import load
from graftwork.backbones.taps import trunk_sources
from graftwork.core.facts import BackboneCard
from graftwork.core.fitted import Head
from graftwork.errors import BackboneError

Tensors = Mapping[Source, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a layer's part of the margin is taken apart."""

    sources: tuple[Source, ...]
    exact: bool
    """Whether its positions are what the layer's code is pooled from."""


class Attribution:
    """A network in torch whose margins can be followed back to places of its input.

    Parameters
    ----------
    card
        With weights, and the layers that the head reads in ``taps``.

    Raises
    ------
    BackboneError
        When the network cannot be loaded, or one of the layers has no positions below it.
    """

    def __init__(self, card: BackboneCard, head: Head) -> None:
        network = load(card).requires_grad_(False)
        self.network = codes_network(network, card)
        self._head = head
        self._px = card.preprocess.input_px
        self._places = _places(self.network, trunk_sources(network, watched_px(network, card)), card)

    @property
    def exact(self) -> bool:
        """Whether every layer under the head is taken apart into its own summands."""
        return all(place.exact for place in self._places)

    def evidence(
        self, pixels: NDArray[np.uint8], contrast: NDArray[np.float32], length: float = 1.0
    ) -> NDArray[np.float32]:
        """(px, px) evidence in one input (px, px, 3) for a contrast (k,) of the classes' decision values.

        Where it is exact, its mean is the contrast: the head's biases, which hold what the mean training image has for
        each class, are spread evenly, so that a place has evidence where it differs from that.

        Parameters
        ----------
        length
            Of the image's code, for a head that wants codes of length 1; the evidence is then as much larger.
        """
        codes, tensors = _run(self.network, pixels, [s for place in self._places for s in place.sources])
        channels = [point.tap.channels for point in self.network.points]
        weights = torch.split(torch.from_numpy(contrast @ self._head.weight), channels)
        sums = torch.full((self._px, self._px), float(contrast @ self._head.bias) * length if self.exact else 0.0)
        for place, code, weight in zip(self._places, codes, weights, strict=True):
            here = [tensors[source] for source in place.sources]
            gradients = _gradients((code[0] * weight).sum(), here)
            for source, tensor, gradient in zip(place.sources, here, gradients, strict=True):
                sums += _density(_summands(tensor, gradient, source, place), self._px)
        return np.asarray(sums.numpy())


def over_the_others(label: int, classes: int) -> NDArray[np.float32]:
    """(k,) contrast of a class: its value minus the mean of the others'."""
    contrast = np.full(classes, -1 / (classes - 1), np.float32)
    contrast[label] = 1
    return contrast


def _places(network: CodesNetwork, trunk: Sequence[Source], card: BackboneCard) -> tuple[_Place, ...]:
    """Find the place of each layer with one forward pass: which positions count is seen from their gradients."""
    px = card.preprocess.input_px
    noise = np.random.default_rng(0).integers(0, 256, (px, px, 3), dtype=np.uint8)
    own = [source for point in network.points for source in point.sources]
    codes, tensors = _run(network, noise, [*own, *trunk])

    def count(part: torch.Tensor, sources: Sequence[Source]) -> bool:
        gradients = _gradients(part, [tensors[source] for source in sources])
        return all(
            gradient is not None and _reached(gradient, source) > 1
            for source, gradient in zip(sources, gradients, strict=True)
        )

    places = []
    for point, code in zip(network.points, codes, strict=True):
        part = (code * torch.linspace(1, 2, code.shape[1])).sum()  # of weights that no normalisation cancels
        if count(part, point.sources):
            places.append(_Place(point.sources, True))
            continue
        below = next((source for source in reversed(trunk) if count(part, (source,))), None)
        if below is None:
            raise BackboneError(
                f"the layer {point.tap.name} of {card.name} must have positions of the image at or below it to be "
                "explained, but none were found; train with --layer and name another"
            )
        places.append(_Place((below,), False))
    return tuple(places)


def _run(
    network: CodesNetwork, pixels: NDArray[np.uint8], sources: Sequence[Source]
) -> tuple[tuple[torch.Tensor, ...], Tensors]:
    """Return the codes of one input, and the tensors that gradients can be taken of."""
    tensors: dict[Source, torch.Tensor] = {}
    with torch.inference_mode(False), torch.enable_grad(), one_thread(), _listening(network, sources, tensors):
        codes = network(torch.from_numpy(np.ascontiguousarray(pixels))[None])
    return codes, tensors


@contextlib.contextmanager
def _listening(network: CodesNetwork, sources: Sequence[Source], tensors: dict[Source, torch.Tensor]) -> Iterator[None]:
    """Keep the tensors of some sources while a network runs; it goes on with copies, which it may overwrite."""

    def keep(source: Source, value: torch.Tensor) -> torch.Tensor:
        tensors[source] = value if value.requires_grad else value.requires_grad_()
        return tensors[source].clone()

    def listen(source: Source) -> Any:
        module = network.network.get_submodule(source.module)
        if source.side == "input":
            return module.register_forward_pre_hook(lambda _, inputs: (keep(source, inputs[0]), *inputs[1:]))
        return module.register_forward_hook(lambda _, inputs, output: keep(source, output))

    handles = [listen(source) for source in dict.fromkeys(sources)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _gradients(part: torch.Tensor, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor | None]:
    return torch.autograd.grad(part, tensors, retain_graph=True, allow_unused=True)


def _reached(gradient: torch.Tensor, source: Source) -> int:
    """Number of positions that have a gradient."""
    grid = _grid(gradient, source)
    return 0 if grid is None else int(grid.abs().sum(-1).count_nonzero())


def _summands(tensor: torch.Tensor, gradient: torch.Tensor | None, source: Source, place: _Place) -> torch.Tensor:
    """(rows, columns) share of each position in a part of the margin."""
    activations = _grid(tensor.detach(), source)
    assert activations is not None
    assert gradient is not None
    gradients = _grid(gradient, source)
    assert gradients is not None
    # Grad-CAM: what lies between makes a single gradient noise, and their mean the weight of a channel
    weights = gradients if place.exact else gradients.mean((0, 1), keepdim=True)
    return (weights * activations).sum(-1)


def _grid(value: torch.Tensor, source: Source) -> torch.Tensor | None:
    """(rows, columns, c) of the tensor of one image, without class token and registers; None without positions."""
    match source.layout:
        case "planes":
            return value[0].permute(1, 2, 0)
        case "planes last":
            return value[0]
        case "tokens":
            tokens = value[0, source.prefix_tokens :]
            side = math.isqrt(len(tokens))
            return tokens.reshape(side, side, -1) if side * side == len(tokens) else None
        case "vector":
            return None


def _density(summands: torch.Tensor, px: int) -> torch.Tensor:
    """(px, px) values of cells (rows, columns) with the mean that these have as a sum."""
    grid = (summands * summands.numel())[None, None]
    return torch.nn.functional.interpolate(grid, size=(px, px), mode="bilinear", align_corners=False)[0, 0]
