"""What the layers of Caffe compute, as data: parameters that are checked already."""

from __future__ import annotations

import dataclasses
from typing import Literal

Shape = tuple[int, ...]
"""Of one image: channels, height, width; or the length of a vector."""
Pair = tuple[int, int]
"""Vertical, horizontal."""


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution over images."""

    channels: Pair
    """In and out."""
    kernel: Pair
    stride: Pair
    pad: Pair
    dilation: Pair
    groups: int
    bias: bool


@dataclasses.dataclass(frozen=True)
class InnerProduct:
    """A matrix product with the flattened input."""

    values: Pair
    """In and out."""
    bias: bool
    transposed: bool
    """Whether the file has the matrix as (in, out)."""


@dataclasses.dataclass(frozen=True)
class Pooling:
    """The largest or the mean value of each window."""

    method: Literal["MAX", "AVE"]
    kernel: Pair
    stride: Pair
    pad: Pair
    ceil: bool
    everything: bool = False
    """Whether one window is the whole image, whatever its size."""


@dataclasses.dataclass(frozen=True)
class LocalNorm:
    """Local response normalisation."""

    size: int
    alpha: float
    beta: float
    k: float
    within: bool
    """Within a channel rather than across channels."""


@dataclasses.dataclass(frozen=True)
class BatchNorm:
    """Batch norm with statistics of its own, and with scale and shift where a Scale layer follows in place."""

    channels: int
    eps: float
    planes: bool
    scale: str = ""
    """Name of that Scale layer."""
    shift: bool = False


@dataclasses.dataclass(frozen=True)
class Scale:
    """A factor for each channel, and perhaps a shift."""

    channels: int
    bias: bool


@dataclasses.dataclass(frozen=True)
class PReLU:
    """A ReLU with a learned slope on the negative side."""

    slopes: int


@dataclasses.dataclass(frozen=True)
class ReLU:
    """A ReLU, with a fixed slope on the negative side."""

    slope: float


@dataclasses.dataclass(frozen=True)
class Concat:
    """Blobs side by side."""

    axis: int


@dataclasses.dataclass(frozen=True)
class Eltwise:
    """Blobs of one shape, value by value."""

    method: Literal["PROD", "SUM", "MAX"]
    coefficients: tuple[float, ...]
    """Of a sum; empty for ones."""


@dataclasses.dataclass(frozen=True)
class Power:
    """``(shift + scale * x) ** power``."""

    power: float
    scale: float
    shift: float


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Values that are left out at random in training."""

    ratio: float


@dataclasses.dataclass(frozen=True)
class Plain:
    """An operation without parameters."""

    kind: Literal["Softmax", "Flatten", "Sigmoid", "TanH", "Split"]


Operation = (
    Convolution
    | InnerProduct
    | Pooling
    | LocalNorm
    | BatchNorm
    | Scale
    | PReLU
    | ReLU
    | Concat
    | Eltwise
    | Power
    | Dropout
    | Plain
)


def windows(pooling: Pooling, sides: Pair) -> Pair:
    """Return the number of windows of a pooling layer in both directions, by Caffe's rule.

    Rounded up; with padding, a last window that would begin behind the image is left out.
    """
    out = []
    for n, k, s, p in zip(sides, pooling.kernel, pooling.stride, pooling.pad, strict=True):
        room = n + 2 * p - k
        count = (-(-room // s) if pooling.ceil else room // s) + 1
        clipped = any(pooling.pad) and (count - 1) * s >= n + p
        out.append(count - clipped)
    return out[0], out[1]
