"""Exact gradients of depthwise convolutions on a CPU, where oneDNN's own are slow.

Two cases leave oneDNN's kernels for depthwise convolutions (``findings/onednn_depthwise_backward.sh`` says when that
ends): the gradient of a weight of more than three columns, and in bfloat16 the gradient of the input with stride 2.
Both are sums of products that other kernels of oneDNN compute. Which way is faster depends on the layer and on the
machine, so it is measured (``measured_paths``) and then used (``fast_gradients``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad
from torch.overrides import TorchFunctionMode

from graftwork.finetune.timing import THREAD_CLOCK, best_seconds, fastest

PLAIN = "plain"
"""The path of torch itself."""
_KERNELS = (3, 5, 7)


@dataclasses.dataclass(frozen=True)
class Layer:
    """A depthwise convolution without its values."""

    shape: tuple[int, int, int]
    """Channels, height and width of the input of one image."""
    kernel: int
    stride: int
    padding: tuple[int, int]
    """Above and below, left and right."""
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """How the layer is named in a file.

        >>> Layer((480, 6, 6), 5, 1, (2, 2), torch.bfloat16).name
        '480x6x6, kernel 5, stride 1, padding 2 2, bfloat16'
        """
        shape, (rows, columns) = "x".join(map(str, self.shape)), self.padding
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{shape}, kernel {self.kernel}, stride {self.stride}, padding {rows} {columns}, {dtype}"


@dataclasses.dataclass(frozen=True)
class GradientPaths:
    """By which path each gradient of a layer is computed."""

    inputs: str = PLAIN
    """One of ``INPUT_PATHS``."""
    weight: str = PLAIN
    """One of ``WEIGHT_PATHS``."""


def fast_gradients(paths: Mapping[str, GradientPaths]) -> contextlib.AbstractContextManager[Any]:
    """Return a context for a forward pass, whose gradients then take other paths in the layers named.

    Every other convolution, and every pass without gradients, is torch's own to the bit.

    Parameters
    ----------
    paths
        By ``Layer.name``.

    Examples
    --------
    >>> network = torch.nn.Conv2d(8, 8, 5, padding=2, groups=8)
    >>> layer = Layer((8, 6, 6), 5, 1, (2, 2), torch.float32)
    >>> with fast_gradients({layer.name: GradientPaths(weight="windows")}):
    ...     loss = network(torch.ones(4, 8, 6, 6)).sum()
    >>> loss.backward()
    >>> network.weight.grad[0, 0, 2].tolist()
    [96.0, 120.0, 144.0, 120.0, 96.0]
    """
    if not paths or not torch.is_grad_enabled():
        return contextlib.nullcontext()
    return _Depthwise(lambda layer: paths.get(layer.name))


def depthwise_layers(forward: Callable[[], object]) -> set[Layer]:
    """Return the depthwise convolutions on the CPU that a forward pass with gradients runs."""
    layers: set[Layer] = set()
    with _Depthwise(layers.add):
        forward()
    return layers


def measured_paths(layer: Layer, images: int) -> GradientPaths:
    """Return the fastest path to each gradient of a layer, measured on random values of this number of images.

    It is for one thread, with torch set to one: several wait for each other on a busy machine, and the figures say
    nothing.
    """
    values = sample(layer, images)
    inputs, weight = (
        best_seconds({name: functools.partial(path, *values, layer) for name, path in paths.items()}, THREAD_CLOCK)
        for paths in (INPUT_PATHS, WEIGHT_PATHS)
    )
    return GradientPaths(fastest(inputs, PLAIN), fastest(weight, PLAIN))


def sample(layer: Layer, images: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return random values of a layer's output gradient, its input and its weight.

    >>> [tuple(values.shape) for values in sample(Layer((8, 6, 6), 5, 2, (2, 2), torch.float32), 4)]
    [(4, 8, 3, 3), (4, 8, 6, 6), (8, 1, 5, 5)]
    """
    weight = torch.randn(layer.shape[0], 1, layer.kernel, layer.kernel).to(layer.dtype)
    inputs = _channels_last(torch.randn(images, *layer.shape).to(layer.dtype))
    output = conv2d(inputs, weight, None, layer.stride, layer.padding, 1, layer.shape[0])
    return torch.randn_like(output), inputs, weight


def _plain_input(gradient: Tensor, inputs: Tensor, weight: Tensor, layer: Layer) -> Tensor:
    return _torchs_own(gradient, inputs, weight, layer.stride, layer.padding, (True, False, False))[0]


def _spread(gradient: Tensor, inputs: Tensor, weight: Tensor, layer: Layer) -> Tensor:
    """The gradient with zeros between its values, convolved with the turned kernel: stride 1, a forward pass."""
    channels, height, width = layer.shape
    margin = [layer.kernel - 1 - before for before in layer.padding]
    size = [length + layer.kernel - 1 - 2 * around for length, around in zip((height, width), margin, strict=True)]
    spread = gradient.new_zeros(len(gradient), *size, channels).permute(0, 3, 1, 2)
    rows, columns = (layer.stride * (length - 1) + 1 for length in gradient.shape[2:])
    spread[:, :, : rows : layer.stride, : columns : layer.stride] = gradient
    return conv2d(spread, weight.flip(2, 3), None, 1, margin, 1, channels)


def _plain_weight(gradient: Tensor, inputs: Tensor, weight: Tensor, layer: Layer) -> Tensor:
    return _torchs_own(gradient, inputs, weight, layer.stride, layer.padding, (False, True, False))[1]


def _windows(gradient: Tensor, inputs: Tensor, weight: Tensor, layer: Layer) -> Tensor:
    """Three columns of the kernel at a time: for these oneDNN has a kernel, if the padding is part of the input."""
    result = torch.empty_like(weight)
    (height, width), (rows, columns) = gradient.shape[2:], layer.padding
    below = (height - 1) * layer.stride + layer.kernel - rows - layer.shape[1]
    for left in sorted({*range(0, layer.kernel - 2, 3), layer.kernel - 3}):
        before = columns - left
        after = (width - 1) * layer.stride + 3 - before - layer.shape[2]
        window = pad(inputs, (before, after, rows, below))  # negative: what these columns never meet is cut off
        part = result[..., left : left + 3]
        part.copy_(_torchs_own(gradient, window, part, layer.stride, (0, 0), (False, True, False))[1])
    return result


def _images_as_channels(gradient: Tensor, inputs: Tensor, weight: Tensor, layer: Layer) -> Tensor:
    """Each image's channels convolved with their own gradient, a forward pass; then the sum over images."""
    images, (channels, height, width) = len(inputs), layer.shape
    planes = inputs.permute(2, 3, 0, 1).reshape(height, width, -1).permute(2, 0, 1)
    kernels = gradient.reshape(images * channels, 1, *gradient.shape[2:])
    each = conv2d(planes[None], kernels, None, 1, layer.padding, layer.stride, images * channels)
    each = each[..., : layer.kernel, : layer.kernel].reshape(images, channels, 1, layer.kernel, layer.kernel)
    return each.sum(0, dtype=torch.promote_types(each.dtype, torch.float32))


Path = Callable[[Tensor, Tensor, Tensor, Layer], Tensor]
"""The gradient of the output, the input, the weight, and the layer in; the gradient of the input or the weight out."""
INPUT_PATHS: dict[str, Path] = {PLAIN: _plain_input, "spread": _spread}
WEIGHT_PATHS: dict[str, Path] = {PLAIN: _plain_weight, "windows": _windows, "images as channels": _images_as_channels}


class _Convolution(torch.autograd.Function):
    """A depthwise convolution whose gradients take the paths that they are given."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        layer: Layer,
        paths: GradientPaths,
    ) -> Tensor:
        ctx.layer, ctx.paths, ctx.dtype = layer, paths, weight.dtype
        weight = weight.to(layer.dtype)
        ctx.save_for_backward(inputs, weight)
        bias = None if bias is None else bias.to(layer.dtype)
        return conv2d(inputs, weight, bias, layer.stride, layer.padding, 1, layer.shape[0])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        for_inputs, for_weight, for_bias, *_ = ctx.needs_input_grad
        values = _channels_last(gradient), _channels_last(inputs), weight, ctx.layer
        return (
            INPUT_PATHS[ctx.paths.inputs](*values) if for_inputs else None,
            WEIGHT_PATHS[ctx.paths.weight](*values).to(ctx.dtype) if for_weight else None,
            gradient.sum((0, 2, 3), dtype=ctx.dtype) if for_bias else None,
            None,
            None,
        )


class _Depthwise(TorchFunctionMode):
    """Asks for the paths of each depthwise convolution, whichever module calls it; None leaves it to torch."""

    def __init__(self, paths_of: Callable[[Layer], GradientPaths | None]) -> None:
        super().__init__()
        self._paths_of = paths_of

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        layer = _layer(*args, **kwargs) if func is conv2d else None
        paths = None if layer is None else self._paths_of(layer)
        if layer is None or paths is None:
            return func(*args, **kwargs)
        inputs, weight, bias = _operands(*args, **kwargs)
        return _Convolution.apply(inputs.to(layer.dtype), weight, bias, layer, paths)  # type: ignore[no-untyped-call]


def _layer(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Layer | None:
    """The layer that a call of ``conv2d`` runs; None where it is no depthwise convolution with paths of its own."""
    kernel, strides, around = tuple(weight.shape[2:]), _pair(stride), _pair(padding)
    if not (
        input.device.type == "cpu"
        and input.ndim == 4
        and groups == input.shape[1] == weight.shape[0]
        and kernel[0] == kernel[1]
        and kernel[0] in _KERNELS
        and strides in ((1, 1), (2, 2))
        and _pair(dilation) == (1, 1)
        and all(isinstance(n, int) and n < kernel[0] for n in around)
        and (input.requires_grad or weight.requires_grad)
    ):
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
    return Layer(tuple(input.shape[1:]), kernel[0], strides[0], around, dtype)  # type: ignore[arg-type]


def _operands(input: Tensor, weight: Tensor, bias: Tensor | None = None, *_: Any, **__: Any) -> Any:
    return input, weight, bias


def _pair(value: Any) -> tuple[Any, Any]:
    """Rows and columns, as ``conv2d`` reads one number, one in a tuple, or two."""
    values = (value,) if isinstance(value, int | str) else tuple(value)
    return values if len(values) == 2 else (values[0], values[0])


def _torchs_own(
    gradient: Tensor,
    inputs: Tensor,
    weight: Tensor,
    stride: int,
    padding: tuple[int, int],
    which: tuple[bool, bool, bool],
) -> tuple[Tensor, ...]:
    """The gradients of inputs, weight and bias as torch computes them, those that ``which`` names."""
    steps, groups = (stride, stride), weight.shape[0]
    results: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, inputs, weight, None, steps, padding, (1, 1), False, (0, 0), groups, which
    )
    return results


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last)
