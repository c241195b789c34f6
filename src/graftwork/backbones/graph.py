"""A network from pixels to the codes of its layers: what an engine runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from graftwork.backbones.forward_pass import Source, pooled
from graftwork.backbones.taps import Point, find_points
from graftwork.core.facts import BackboneCard, Preprocess
from graftwork.errors import BackboneError

_USUAL_PX = 224
LOGITS = "logits"
"""Name of the network's own logits among the layers."""


class CodesNetwork(nn.Module):
    """Pixels (n, px, px, 3) uint8 to the codes (n, d) float32 of several layers, all in one forward pass.

    Normalisation and pooling are part of it, so that what is computed is the same wherever it runs.
    """

    def __init__(
        self,
        network: nn.Module,
        points: Sequence[Point],
        preprocess: Preprocess,
        *,
        logits: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(point.tap.name for point in points) + ((LOGITS,) if logits else ())
        self.points = tuple(points)
        self._logits = logits
        self._flipped = preprocess.channels == "BGR"
        std = torch.tensor(preprocess.std, dtype=torch.float64)
        mean = torch.tensor(preprocess.mean, dtype=torch.float64)
        # one multiplication and one addition: (x / 255 - mean) / std
        self.register_buffer("scale", (1 / (255 * std)).float().reshape(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).float().reshape(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Codes in the order of ``names``."""
        planes = pixels.permute(0, 3, 1, 2)
        if self._flipped:
            planes = planes.flip(1)
        return self.codes(planes.float() * self.get_buffer("scale") + self.get_buffer("shift"))

    def codes(self, planes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Codes, as ``forward`` gives them, of planes (n, 3, px, px) that are normalised already."""
        read: dict[tuple[str, Source], torch.Tensor] = {}
        listeners = [self._listen(point, source, read) for point in self.points for source in point.sources]
        try:
            output = self.network(planes.to(self._dtype))
        finally:
            for listener in listeners:
                listener.remove()
        codes = [torch.cat([read[point.tap.name, source] for source in point.sources], 1) for point in self.points]
        return (*codes, output.float()) if self._logits else tuple(codes)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def _listen(self, point: Point, source: Source, read: dict[tuple[str, Source], torch.Tensor]) -> Any:
        """Pool a tensor the moment it is there: what comes next may overwrite it in place."""

        def keep(value: torch.Tensor) -> None:
            codes = pooled(value.float(), source.layout, point.tap.pool, source.prefix_tokens)
            read[point.tap.name, source] = codes

        module = self.network.get_submodule(source.module)
        if source.side == "input":
            return module.register_forward_pre_hook(lambda _, inputs: keep(inputs[0]))
        return module.register_forward_hook(lambda _, inputs, output: keep(output))


def codes_network(network: nn.Module, card: BackboneCard, *, logits: bool = False) -> CodesNetwork:
    """Return a network that gives the codes of the layers in ``card.taps``, pooled as each tap says.

    A tap without ``relu`` where the network has one is read before it.

    Raises
    ------
    BackboneError
        When the network has no such layer, or cannot be read before its ReLU.
    """
    also = [tap.name for tap in card.taps if tap.extra]
    known = {point.tap.name: point for point in find_points(network, watched_px(network, card), also)}
    chosen = []
    for tap in card.taps:
        if tap.layer not in known:
            raise BackboneError(
                f"{card.name} must have the layer {tap.layer}, but has {', '.join(known)}; choose of these"
            )
        point = known[tap.layer]
        sources = point.sources if tap.relu or not point.tap.relu else point.before_relu
        if not sources:
            raise BackboneError(
                f"the layer {tap.layer} must have its ReLU as a module of its own to be read before it, but has it "
                "inside a function; use `--relu after` or leave the layer out"
            )
        chosen.append(dataclasses.replace(point, tap=tap, sources=sources))
    return CodesNetwork(network, chosen, card.preprocess, logits=logits).eval()


def watched_px(network: nn.Module, card: BackboneCard) -> int:
    """Return the input at which to find the layers: one at which the stages of a ConvNet differ in shape.

    At a small input they may not differ; a transformer takes its own input only, and has no such stages.
    """
    px = card.preprocess.input_px
    takes_one_size = hasattr(network, "set_input_size") or hasattr(network, "image_size")
    return px if takes_one_size else max(px, _USUAL_PX)
