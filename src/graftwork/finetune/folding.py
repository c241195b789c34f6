"""A convolution and the batch norm behind it as one convolution, while both are trained: exact, and faster.

A batch norm that keeps its statistics is a scale and a shift of each channel. They go into the weights of the
convolution in front, anew in each step, so that the gradients of weight, scale and shift are what they were, and
nothing of the size of an image is computed for them.
"""

from __future__ import annotations

import copy
import types
from typing import Any

import torch
from torch import nn

from graftwork.backbones.forward_pass import one_thread

Pairs = tuple[tuple[str, str], ...]
"""Dotted paths of convolutions, each with the batch norm behind it."""
_EXACT = 1e-9
"""Largest relative difference in double precision: rounding is a thousandth of it."""


def pairs_to_fold(network: nn.Module, px: int) -> Pairs:
    """Return the convolutions whose output goes into a batch norm and nowhere else, as one forward pass shows.

    All of them are tried, with random statistics in double precision; if that changes what the network gives, a
    convolution's output is used elsewhere too, and there are none.
    """
    trial = copy.deepcopy(network).double().eval()
    _draw_statistics(trial)
    inputs = torch.rand(1, 3, px, px, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), one_thread():
        pairs, expected = _watched(trial, inputs)
        fold(trial, pairs)
        folded = trial(inputs)
    exact = bool((folded - expected).abs().max() <= _EXACT * expected.abs().max())
    return pairs if exact else ()


def fold(network: nn.Module, pairs: Pairs) -> None:
    """Let each convolution do what its batch norm does, and the batch norm only what comes after it (its activation).

    Parameters stay where they are, under their names. Pairs without weights, below a cut, are left alone.
    """
    modules = dict(network.named_modules())
    for conv_name, norm_name in pairs:
        conv, norm = modules.get(conv_name), modules.get(norm_name)
        if conv is None or norm is None or "weight" not in conv._parameters or "weight" not in norm._parameters:
            continue
        # not as a submodule, under which its parameters would be found twice; methods, so that copies are whole
        conv.__dict__["norm"], conv.__dict__["unfolded"] = norm, conv.forward
        conv.forward = types.MethodType(_convolved, conv)
        norm.forward = types.MethodType(_activated, norm)


def _convolved(conv: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The convolution's own forward, with the weights of both."""
    norm, weights = conv.__dict__["norm"], conv._parameters
    weight, bias = weights["weight"], weights.get("bias")
    assert weight is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    both = {"weight": weight * scale.reshape(-1, 1, 1, 1), "bias": shift if bias is None else shift + bias * scale}
    conv._parameters = both  # tensors that are computed, in place of parameters
    try:
        outputs: torch.Tensor = conv.__dict__["unfolded"](inputs)
    finally:
        conv._parameters = weights
    return outputs


def _activated(norm: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What timm's batch norms do behind the norm itself; PyTorch's do nothing."""
    outputs = inputs
    for name in ("drop", "act"):
        if name in norm._modules:
            outputs = norm.get_submodule(name)(outputs)
    return outputs


def _watched(network: nn.Module, inputs: torch.Tensor) -> tuple[Pairs, torch.Tensor]:
    """Return the pairs, each module of which runs once, and what the network gives."""
    calls: dict[str, list[tuple[Any, Any]]] = {}

    def hook(name: str) -> Any:
        return lambda _, given, output: calls.setdefault(name, []).append((given[0], output))

    kinds = {name: m for name, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))}
    handles = [module.register_forward_hook(hook(name)) for name, module in kinds.items()]
    try:
        outputs = network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    once = {name: made[0] for name, made in calls.items() if len(made) == 1}
    by_output = {id(output): name for name, (_, output) in once.items() if isinstance(kinds[name], nn.Conv2d)}
    return tuple(
        (by_output[id(given)], name)
        for name, (given, _) in once.items()
        if isinstance(kinds[name], nn.BatchNorm2d) and id(given) in by_output and _can_be_folded(kinds[name])
    ), outputs


def _can_be_folded(norm: nn.Module) -> bool:
    """Whether a norm has what is folded: statistics of its own, a scale and a shift."""
    return all(getattr(norm, name, None) is not None for name in ("running_mean", "running_var", "weight", "bias"))


@torch.no_grad()
def _draw_statistics(network: nn.Module) -> None:
    """Give every batch norm random statistics, so that none of them is the identity by chance."""
    generator = torch.Generator().manual_seed(0)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d) and _can_be_folded(norm):
            for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                assert values is not None
                values.copy_(0.5 + torch.rand(values.shape, generator=generator, dtype=values.dtype))
