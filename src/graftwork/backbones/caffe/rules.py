"""Caffe's rules for each type of layer: which parameters it takes, and the shape of its output.

How many windows a pooling layer has, what is a default, what is refused: as Caffe has it. Nothing is computed or
allocated here, so that a text that asks for the impossible costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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
    Shape,
    windows,
)
from graftwork.backbones.caffe.schema import Message
from graftwork.backbones.caffe.upgrade import Layer
from graftwork.errors import BackboneError, did_you_mean

MOST_VALUES = 2**28
"""In one blob of one image, and in one array of weights: a gigabyte."""
_LARGEST = 2**14
"""Of a kernel, stride, padding or dilation in pixels."""

Planned = tuple[Operation, Shape]


def planned(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    """Return what a layer computes of blobs of these shapes, and the shape that comes out.

    Raises
    ------
    BackboneError
        When Caffe would refuse the layer, or graftwork does not know it; the message names layer and line.
    """
    plan = _PLANS.get(layer.type)
    if plan is None:
        hint = did_you_mean(layer.type, _PLANS, 1)
        raise BackboneError(
            f"{layer.place} must be of a type that graftwork knows{hint}, but is not; known are "
            f"{', '.join(sorted(_PLANS))}; convert the network elsewhere, to a checkpoint of PyTorch for example"
        )
    if not inputs or (len(inputs) > 1 and layer.type not in ("Concat", "Eltwise")):
        needed = "two or more bottoms" if layer.type == "Eltwise" else "one bottom"
        raise refused(layer, f"must have {needed}", f"has {len(inputs)}")
    operation, shape = plan(layer, inputs)
    if math.prod(shape) > MOST_VALUES:
        raise refused(layer, f"must give at most {MOST_VALUES:,} values an image", f"gives {math.prod(shape):,}")
    return operation, shape


def refused(layer: Layer, must: str, instead: str) -> BackboneError:
    """Return the error about a layer: what must hold, and what holds instead."""
    return BackboneError(f"{layer.place} {must}, but {instead}; correct the prototxt, or get the original one")


def _convolution(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    given = layer.parameters.message("convolution_param")
    channels, *sides = _planes(layer, inputs[0])
    kernel = _pair(layer, given, "kernel_size", "kernel", None)
    stride, pad = _pair(layer, given, "stride", "stride", 1), _pair(layer, given, "pad", "pad", 0)
    dilation = _pair(layer, given, "dilation", "", 1)
    outputs, groups = _outputs(layer, given), given.one("group")
    if groups < 1 or channels % groups or outputs % groups:
        raise refused(layer, "must divide its channels into groups", f"has {channels} and {outputs} for {groups}")
    if given.one("axis") not in (1, -3):
        raise refused(layer, "must have its channels at axis 1", f"has them at {given.one('axis')}")
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    out = [(n + 2 * p - r) // s + 1 for n, p, r, s in zip(sides, pad, reach, stride, strict=True)]
    if min(out) < 1:
        raise refused(layer, f"must fit in its input of {_times(sides)}", f"its kernel reaches over {_times(reach)}")
    operation = Convolution((channels, outputs), kernel, stride, pad, dilation, groups, bool(given.one("bias_term")))
    _require_bounded(layer, outputs, channels // groups, *kernel)
    return operation, (outputs, *out)


def _inner_product(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    given = layer.parameters.message("inner_product_param")
    if given.one("axis") not in (1, -len(inputs[0])):
        raise refused(layer, "must flatten its input from axis 1", f"does so from {given.one('axis')}")
    values = math.prod(inputs[0]), _outputs(layer, given)
    _require_bounded(layer, *values)
    return InnerProduct(values, bool(given.one("bias_term")), bool(given.one("transpose"))), (values[1],)


def _pooling(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    given = layer.parameters.message("pooling_param")
    channels, *sides = _planes(layer, inputs[0])
    method = given.one("pool")
    if method == "STOCHASTIC":
        raise refused(layer, "must pool by MAX or AVE", "pools by STOCHASTIC")
    ceil = bool(given.one("ceil_mode")) and given.one("round_mode") == "CEIL"
    sized = given.has("kernel_size") or given.has("kernel_h") or given.has("kernel_w")
    stride, pad = _pair(layer, given, "stride", "stride", 1), _pair(layer, given, "pad", "pad", 0)
    if given.one("global_pooling"):
        if sized or stride != (1, 1) or pad != (0, 0):
            raise refused(layer, "must have no kernel, stride or pad where pooling is global", "has one")
        return Pooling(method, (1, 1), (1, 1), (0, 0), True, everything=True), (channels, 1, 1)
    kernel = _pair(layer, given, "kernel_size", "kernel", None)
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise refused(layer, "must have a pad that is smaller than its kernel", f"has {pad} for {kernel}")
    operation = Pooling(method, kernel, stride, pad, ceil)
    out = windows(operation, (sides[0], sides[1]))
    starts = [(o - 1) * s - p for o, s, p in zip(out, stride, pad, strict=True)]
    if min(out) < 1 or any(start >= n for start, n in zip(starts, sides, strict=True)):
        raise refused(
            layer, f"must have pixels of its input of {_times(sides)} in every window", "its last window is empty"
        )
    return operation, (channels, *out)


def _local_norm(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    given = layer.parameters.message("lrn_param")
    _planes(layer, inputs[0])
    size = given.one("local_size")
    if size < 1 or size % 2 == 0 or size > _LARGEST:
        raise refused(layer, "must have an odd local_size", f"has {size}")
    within = given.one("norm_region") == "WITHIN_CHANNEL"
    k = 1.0 if within else given.one("k")
    return LocalNorm(size, given.one("alpha"), given.one("beta"), k, within), inputs[0]


def _batch_norm(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    given = layer.parameters.message("batch_norm_param")
    if not given.one("use_global_stats"):
        raise refused(layer, "must use its own statistics at test time", "has use_global_stats: false")
    if not given.one("eps") > 0:
        raise refused(layer, "must have an eps above 0", f"has {given.one('eps')}")
    return BatchNorm(inputs[0][0], given.one("eps"), planes=len(inputs[0]) == 3), inputs[0]


def _scale(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    given = layer.parameters.message("scale_param")
    if given.one("axis") not in (1, -len(inputs[0])) or given.one("num_axes") != 1:
        actual = f"has axis {given.one('axis')} and num_axes {given.one('num_axes')}"
        raise refused(layer, "must have one factor for each channel (axis 1, num_axes 1)", actual)
    return Scale(inputs[0][0], bool(given.one("bias_term"))), inputs[0]


def _prelu(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    shared = layer.parameters.message("prelu_param").one("channel_shared")
    return PReLU(1 if shared else inputs[0][0]), inputs[0]


def _relu(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    return ReLU(layer.parameters.message("relu_param").one("negative_slope")), inputs[0]


def _concat(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    given = layer.parameters.message("concat_param")
    axis = given.one("axis") if given.has("axis") else given.one("concat_dim")
    axis = axis + 1 + len(inputs[0]) if axis < 0 else axis
    if not 1 <= axis <= len(inputs[0]):
        raise refused(layer, "must put blobs side by side at axis 1 or later", f"does so at {axis}")
    others = {(*shape[: axis - 1], 0, *shape[axis:]) for shape in inputs}
    if len(others) > 1:
        raise refused(layer, f"must have bottoms that differ at axis {axis} alone", f"has {_listed(inputs)}")
    total = sum(shape[axis - 1] for shape in inputs)
    return Concat(axis), (*inputs[0][: axis - 1], total, *inputs[0][axis:])


def _eltwise(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    given = layer.parameters.message("eltwise_param")
    coefficients = tuple(given.all("coeff"))
    if len(inputs) < 2 or len(set(inputs)) > 1:
        raise refused(layer, "must have two or more bottoms of one shape", f"has {_listed(inputs)}")
    method = given.one("operation")
    if coefficients and (len(coefficients) != len(inputs) or method != "SUM"):
        raise refused(layer, "must have one coeff for each bottom of a SUM", f"has {len(coefficients)} for a {method}")
    return Eltwise(method, coefficients), inputs[0]


def _power(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    given = layer.parameters.message("power_param")
    return Power(given.one("power"), given.one("scale"), given.one("shift")), inputs[0]


def _dropout(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    ratio = layer.parameters.message("dropout_param").one("dropout_ratio")
    if not 0 <= ratio < 1:
        raise refused(layer, "must have a dropout_ratio of 0 to 1", f"has {ratio}")
    return Dropout(ratio), inputs[0]


def _same(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    if layer.type == "Softmax" and layer.parameters.message("softmax_param").one("axis") not in (1, -len(inputs[0])):
        raise refused(layer, "must be taken over channels (axis 1)", "is taken over another axis")
    return Plain(layer.type), inputs[0]  # type: ignore[arg-type]  # _PLANS has only those


def _flatten(layer: Layer, inputs: Sequence[Shape]) -> Planned:
    if layer.type == "Flatten":
        given = layer.parameters.message("flatten_param")
        whole = given.one("axis") == 1 and given.one("end_axis") in (-1, len(inputs[0]))
    else:
        given = layer.parameters.message("reshape_param")
        whole = given.message("shape").all("dim") == (0, -1) and not given.has("axis") and not given.has("num_axes")
    if not whole:
        raise refused(layer, "must flatten all of an image (for Reshape: dim 0 and -1)", "does something else")
    return Plain("Flatten"), (math.prod(inputs[0]),)


_PLANS: dict[str, Callable[[Layer, Sequence[Shape]], Planned]] = {
    "BatchNorm": _batch_norm, "Concat": _concat, "Convolution": _convolution, "Dropout": _dropout, "Eltwise": _eltwise,
    "Flatten": _flatten, "InnerProduct": _inner_product, "LRN": _local_norm, "PReLU": _prelu, "Pooling": _pooling,
    "Power": _power, "ReLU": _relu, "Reshape": _flatten, "Scale": _scale, "Sigmoid": _same, "Softmax": _same,
    "Split": _same, "TanH": _same,
}  # fmt: skip


def _planes(layer: Layer, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise refused(layer, "must have an input with channels, height and width", f"has {_times(shape)}")
    return shape


def _outputs(layer: Layer, given: Message) -> int:
    number = given.one("num_output")
    if number is None or not 1 <= number <= MOST_VALUES:
        raise refused(layer, "must have a num_output of 1 or more", f"has {number}")
    return int(number)


def _pair(layer: Layer, given: Message, name: str, single: str, default: int | None) -> Pair:
    """A parameter that is given once for both directions, once for each, or as ``..._h`` and ``..._w``."""
    values = given.all(name)
    if single and (given.has(f"{single}_h") or given.has(f"{single}_w")):
        if values:
            raise refused(layer, f"must have {name} or {single}_h and {single}_w", "has both")
        values = (given.one(f"{single}_h"), given.one(f"{single}_w"))
    values = values or (default,)
    least = 0 if name == "pad" else 1
    if len(values) > 2 or any(v is None or not least <= v <= _LARGEST for v in values):
        actual = " and ".join(str(v) for v in values[:3])
        raise refused(layer, f"must have one or two {name} of {least} to {_LARGEST}", f"has {actual}")
    return int(values[0]), int(values[-1])


def _require_bounded(layer: Layer, *dims: int) -> None:
    if math.prod(dims) > MOST_VALUES:
        raise refused(layer, f"must have at most {MOST_VALUES:,} weights", f"has {math.prod(dims):,}")


def _times(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _listed(shapes: Sequence[Shape]) -> str:
    return ", ".join(_times(shape) for shape in shapes[:6])
