"""An operation of Caffe becomes a module: PyTorch's own wherever that computes the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from graftwork.backbones.caffe.operations import (
    BatchNorm,
    Concat,
    Convolution,
    Dropout,
    Eltwise,
    InnerProduct,
    LocalNorm,
    Operation,
    Pair,
    Plain,
    Pooling,
    Power,
    PReLU,
    ReLU,
    Scale,
    windows,
)


def module_of(operation: Operation, *, in_place: bool) -> nn.Module:
    """Return the module that computes an operation.

    Parameters
    ----------
    in_place
        Whether it may overwrite its input, where it can.
    """
    match operation:
        case Convolution() as conv:
            return nn.Conv2d(
                *conv.channels, conv.kernel, conv.stride, conv.pad, conv.dilation, conv.groups, bias=conv.bias
            )
        case InnerProduct():
            return FlatLinear(*operation.values, bias=operation.bias)
        case Pooling():
            return _pooling(operation)
        case LocalNorm():
            return _local_norm(operation)
        case BatchNorm():
            kind = nn.BatchNorm2d if operation.planes else nn.BatchNorm1d
            return kind(operation.channels, operation.eps, affine=bool(operation.scale))
        case Scale(channels, bias):
            return ChannelScale(channels, bias=bias)
        case PReLU(slopes):
            return nn.PReLU(slopes)
        case ReLU(slope):
            return nn.LeakyReLU(slope, in_place) if slope else nn.ReLU(in_place)
        case Concat() | Eltwise() | Power() | Dropout() | Plain():
            return _without_weights(operation)


def _without_weights(operation: Concat | Eltwise | Power | Dropout | Plain) -> nn.Module:
    match operation:
        case Concat(axis):
            return SideBySide(axis)
        case Eltwise():
            return ValueByValue(operation)
        case Power():
            return ShiftedPower(operation)
        case Dropout(ratio):
            return nn.Dropout(ratio)
        case Plain(kind):
            return _PLAIN[kind]()


def _local_norm(norm: LocalNorm) -> nn.Module:
    return WithinChannelNorm(norm) if norm.within else nn.LocalResponseNorm(norm.size, norm.alpha, norm.beta, norm.k)


def _pooling(pooling: Pooling) -> nn.Module:
    largest = pooling.method == "MAX"
    if pooling.everything:
        return nn.AdaptiveMaxPool2d(1) if largest else nn.AdaptiveAvgPool2d(1)
    if any(2 * p > k for p, k in zip(pooling.pad, pooling.kernel, strict=True)):
        return PaddedPooling(pooling)  # PyTorch refuses as much padding
    kind = nn.MaxPool2d if largest else nn.AvgPool2d
    return kind(pooling.kernel, pooling.stride, pooling.pad, ceil_mode=pooling.ceil)


class FlatLinear(nn.Linear):
    """A matrix product with the flattened input."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(n, out) of (n, ...)."""
        return super().forward(input.flatten(1))


class PaddedPooling(nn.Module):
    """Pooling with more padding than half of its kernel."""

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self._pooling = pooling

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """(n, c, windows) of (n, c, h, w); a mean counts the padding that a window covers, as Caffe does."""
        pooling = self._pooling
        sides = planes.shape[2], planes.shape[3]
        edges = _edges(pooling, sides)
        if pooling.method == "MAX":
            padded = functional.pad(planes, edges, value=float("-inf"))
            return functional.max_pool2d(padded, pooling.kernel, pooling.stride)
        sums = functional.avg_pool2d(functional.pad(planes, edges), pooling.kernel, pooling.stride, divisor_override=1)
        return sums / self._divisors(sides, edges).to(sums)

    def _divisors(self, sides: Pair, edges: tuple[int, int, int, int]) -> torch.Tensor:
        """Pixels and padding in each window; what is behind the padding does not count."""
        pad = self._pooling.pad
        ones = torch.ones(1, 1, sides[0] + 2 * pad[0], sides[1] + 2 * pad[1])
        beyond = (0, edges[1] - pad[1], 0, edges[3] - pad[0])
        return functional.avg_pool2d(
            functional.pad(ones, beyond), self._pooling.kernel, self._pooling.stride, divisor_override=1
        )


def _edges(pooling: Pooling, sides: Pair) -> tuple[int, int, int, int]:
    """Padding left, right, above and below that makes exactly Caffe's windows."""
    behind = [
        (count - 1) * s + k - n - p
        for count, s, k, n, p in zip(
            windows(pooling, sides), pooling.stride, pooling.kernel, sides, pooling.pad, strict=True
        )
    ]
    return pooling.pad[1], behind[1], pooling.pad[0], behind[0]


class WithinChannelNorm(nn.Module):
    """Local response normalisation over a square of each channel."""

    def __init__(self, norm: LocalNorm) -> None:
        super().__init__()
        self._norm = norm

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """The same shape: (n, c, h, w)."""
        norm = self._norm
        means = functional.avg_pool2d(planes.square(), norm.size, 1, norm.size // 2)
        return planes * (1 + norm.alpha * means).pow(-norm.beta)


class ChannelScale(nn.Module):
    """A factor for each channel, and perhaps a shift."""

    def __init__(self, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The same shape: (n, c, ...)."""
        shape = (1, -1) + (1,) * (values.ndim - 2)
        scaled = values * self.weight.reshape(shape)
        return scaled if self.bias is None else scaled + self.bias.reshape(shape)


class SideBySide(nn.Module):
    """Blobs side by side."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self._axis = axis

    def forward(self, *blobs: torch.Tensor) -> torch.Tensor:
        """One tensor of all."""
        return torch.cat(blobs, self._axis)


class ValueByValue(nn.Module):
    """Blobs of one shape become one: their sum, product or largest value."""

    def __init__(self, eltwise: Eltwise) -> None:
        super().__init__()
        self._eltwise = eltwise

    def forward(self, *blobs: torch.Tensor) -> torch.Tensor:
        """The shape of each."""
        result, *others = self._weighted(blobs)
        for other in others:
            match self._eltwise.method:
                case "SUM":
                    result = result + other
                case "PROD":
                    result = result * other
                case "MAX":
                    result = torch.maximum(result, other)
        return result

    def _weighted(self, blobs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        coefficients = self._eltwise.coefficients
        if all(coefficient == 1 for coefficient in coefficients):
            return blobs
        return [blob * coefficient for blob, coefficient in zip(blobs, coefficients, strict=True)]


class ShiftedPower(nn.Module):
    """``(shift + scale * x) ** power``."""

    def __init__(self, power: Power) -> None:
        super().__init__()
        self._power = power

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        scaled = values * self._power.scale + self._power.shift
        return scaled if self._power.power == 1 else scaled.pow(self._power.power)


class ChannelSoftmax(nn.Softmax):
    """Softmax over channels."""

    def __init__(self) -> None:
        super().__init__(1)


_PLAIN: dict[str, type[nn.Module]] = {
    "Softmax": ChannelSoftmax, "Flatten": nn.Flatten, "Sigmoid": nn.Sigmoid, "TanH": nn.Tanh, "Split": nn.Identity,
}  # fmt: skip
