"""The arrays of a caffemodel as tensors of the network, matched by the name of their layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.caffe.names import blob_names, layer_names
from graftwork.backbones.caffe.operations import BatchNorm, Convolution, InnerProduct, PReLU, Scale, Shape
from graftwork.backbones.caffe.schema import Message
from graftwork.backbones.caffe.structure import Step, Structure
from graftwork.backbones.caffe.wire import decoded
from graftwork.errors import BackboneError

Arrays = Mapping[str, Sequence[NDArray[Any]]]
"""By the name of their layer."""
Tensors = dict[str, NDArray[Any]]

_SHOWN = 5


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of every layer in a caffemodel of any age; large ones are views of its bytes.

    Raises
    ------
    BackboneError
        When the file cannot be read, ends too early, or is no caffemodel.
    """
    net = decoded(read_bytes(path), "NetParameter", str(path))
    arrays: dict[str, list[NDArray[Any]]] = {}
    for layer in (*net.all("layers"), *net.all("layer")):
        inner = layer.message("layer") if layer.kind == "V1LayerParameter" and layer.has("layer") else layer
        name = inner.one("name") or layer.one("name")
        blobs = layer.all("blobs") or inner.all("blobs")
        # of two layers of one name, the first one counts
        arrays.setdefault(name, [array_of(blob, f"{path}: layer {name[:60]!r}") for blob in blobs])
    if not any(arrays.values()):
        raise BackboneError(
            f"{path} must be a caffemodel with weights, but has none; fetch it again, or check that it is no mean file "
            "or solver state"
        )
    return arrays


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    BackboneError
        When it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BackboneError(
            f"{path} must be a file that can be read, but: {error.strerror or error}; check the path"
        ) from error


def array_of(blob: Message, where: str) -> NDArray[Any]:
    """Return a blob as an array, with today's shape or the four sides that older files have.

    Raises
    ------
    BackboneError
        When it holds more or fewer numbers than its shape says.
    """
    numbers = blob.array("data") if blob.has("data") else blob.array("double_data").astype(np.float32)
    dims = blob.message("shape").all("dim") if blob.has("shape") else _old_dims(blob)
    if any(d < 0 for d in dims) or math.prod(dims) != len(numbers):
        raise BackboneError(
            f"{where} must hold as many numbers as its shape {list(dims)[:8]} says, but holds {len(numbers):,}; fetch "
            "the file again"
        )
    return numbers.reshape(dims)


def tensors_of(structure: Structure, arrays: Arrays, where: str) -> Tensors:
    """Return the tensors of a network by the names that its module gives them.

    Parameters
    ----------
    where
        The caffemodel, for messages.

    Raises
    ------
    BackboneError
        When a layer has no arrays, or some of another shape than the prototxt says; the message names the layer.
    """
    modules = blob_names(structure)
    tensors: Tensors = {}
    for blob in structure.blobs:
        for step, name in zip(blob.steps, layer_names(blob), strict=True):
            for suffix, array in _of_step(step, arrays, where):
                tensors[f"{modules[blob.name]}.{name}.{suffix}"] = array
    return tensors


def _of_step(step: Step, arrays: Arrays, where: str) -> Iterator[tuple[str, NDArray[Any]]]:
    match step.operation:
        case Convolution() | InnerProduct() | Scale() | PReLU() as operation:
            given = _taken(step, step.layer.name, arrays, _shapes(operation), where)
            transposed = isinstance(operation, InnerProduct) and operation.transposed
            yield "weight", np.ascontiguousarray(given[0].T) if transposed else given[0]
            if len(given) > 1:
                yield "bias", given[1]
        case BatchNorm() as operation:
            yield from _batch_norm(step, operation, arrays, where)


def _shapes(operation: Convolution | InnerProduct | Scale | PReLU) -> list[Shape]:
    """Shapes of the arrays in the file."""
    match operation:
        case Convolution(channels=(before, after), kernel=kernel, groups=groups):
            shapes: list[Shape] = [(after, before // groups, *kernel), (after,)]
            return shapes if operation.bias else shapes[:1]
        case InnerProduct(values=(before, after)):
            shapes = [(before, after) if operation.transposed else (after, before), (after,)]
            return shapes if operation.bias else shapes[:1]
        case Scale():
            return [(operation.channels,)] * (1 + operation.bias)
        case PReLU():
            return [(operation.slopes,)]


def _batch_norm(step: Step, norm: BatchNorm, arrays: Arrays, where: str) -> Iterator[tuple[str, NDArray[Any]]]:
    shapes: list[Shape] = [(norm.channels,), (norm.channels,), (1,)]
    given = _taken(step, step.layer.name, arrays, shapes, where, least=2)
    total = float(given[2][0]) if len(given) > 2 else 1.0
    factor = 1 / total if total else 0.0
    yield "running_mean", (given[0] * factor).astype(np.float32)
    yield "running_var", (given[1] * factor).astype(np.float32)
    yield "num_batches_tracked", np.zeros((), np.int64)
    if norm.scale:
        scaled = _taken(step, norm.scale, arrays, _shapes(Scale(norm.channels, norm.shift)), where)
        yield "weight", scaled[0]
        yield "bias", scaled[1] if norm.shift else np.zeros(norm.channels, np.float32)


def _taken(
    step: Step, name: str, arrays: Arrays, shapes: Sequence[Shape], where: str, least: int | None = None
) -> list[NDArray[Any]]:
    """The arrays of a layer, in the shapes that the prototxt asks for; sides of 1 are written in many ways."""
    given = arrays.get(name, ())
    if not given:
        known = [layer for layer, blobs in arrays.items() if blobs]
        shown = ", ".join(layer[:60] for layer in known[:_SHOWN] if layer.isprintable()) + (
            ", ..." if len(known) > _SHOWN else ""
        )
        raise BackboneError(
            f"{where} must have weights for the layer {name} ({step.layer.where}), but has none; it has some for "
            f"{shown}: check that caffemodel and prototxt are of one network"
        )
    if not (least or len(shapes)) <= len(given) <= len(shapes) or any(
        _without_ones(array.shape) != _without_ones(shape) for array, shape in zip(given, shapes, strict=False)
    ):
        raise BackboneError(
            f"{where} must have arrays of {' and '.join(map(str, shapes))} for the layer {name} ({step.layer.where}), "
            f"but has {' and '.join(str(array.shape) for array in given[:_SHOWN])}; check that both files are of one "
            "network"
        )
    if not all(np.isfinite(array).all() for array in given):
        raise BackboneError(
            f"{where} must have finite weights for the layer {name}, but some are not; fetch the file again"
        )
    return [array.reshape(shape) for array, shape in zip(given, shapes, strict=False)]


def _without_ones(shape: Shape) -> list[int]:
    return [d for d in shape if d != 1]


def _old_dims(blob: Message) -> Shape:
    return tuple(blob.one(name) for name in ("num", "channels", "height", "width"))
