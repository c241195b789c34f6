"""Batch norm whose statistics a converter folded away gets them back, and computes what it did."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def measure_statistics(body: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Give the batch norms of a body, which have mean 0 and variance 1, the statistics of their inputs.

    One pass is enough: what each of them gives is the same before and after, so none changes what another is given.
    Those whose parameters are frozen stay as they are.

    Parameters
    ----------
    batches
        Inputs of the body, as it is used.
    """
    moments = {norm: _Moments() for norm in body.modules() if isinstance(norm, nn.BatchNorm2d) and _moves(norm)}
    hooks = [norm.register_forward_pre_hook(sums.add) for norm, sums in moments.items()]
    device = next(body.parameters()).device
    try:
        with torch.inference_mode():
            for inputs in batches:
                body(inputs.to(device))
    finally:
        for hook in hooks:
            hook.remove()
    for norm, sums in moments.items():
        if sums.count:  # a classifier that is not run may have norms of its own
            _set(norm, sums.mean, sums.variance)


class _Moments:
    """Sums over images and places, channel by channel, in double precision."""

    count = 0
    sum: torch.Tensor | float = 0.0
    squares: torch.Tensor | float = 0.0

    def add(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Count in a batch (n, channels, height, width)."""
        values = inputs[0].double()
        self.count += values.numel() // values.shape[1]
        self.sum = self.sum + values.sum((0, 2, 3))
        self.squares = self.squares + values.square().sum((0, 2, 3))

    @property
    def mean(self) -> torch.Tensor:
        return torch.as_tensor(self.sum / self.count)

    @property
    def variance(self) -> torch.Tensor:
        return (torch.as_tensor(self.squares / self.count) - self.mean.square()).clamp(min=0)


def _moves(norm: nn.BatchNorm2d) -> bool:
    """Whether its scale is there (below a cut nothing is) and takes a gradient."""
    return any(name == "weight" and p.requires_grad for name, p in norm.named_parameters(recurse=False))


@torch.no_grad()
def _set(norm: nn.BatchNorm2d, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """Let a norm of mean 0 and variance 1 take other statistics, its scale and shift making up for them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (1 + norm.eps) ** 0.5
    norm.bias.add_((scale * mean).to(norm.bias.dtype))
    norm.weight.copy_(scale * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
