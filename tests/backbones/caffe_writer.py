"""Writes caffemodels as the three ages of Caffe did, and random weights for a prototxt: for tests only."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.caffe.operations import BatchNorm, Convolution, InnerProduct, PReLU, Scale
from graftwork.backbones.caffe.structure import Structure, structured
from graftwork.backbones.caffe.upgrade import V1_TYPES, read_net

Arrays = dict[str, list[NDArray[np.float32]]]
VARINT, LENGTH = 0, 2


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while True:
        out.append((number & 0x7F) | (0x80 if number > 0x7F else 0))
        number >>= 7
        if not number:
            return bytes(out)


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | LENGTH) + varint(len(data)) + data


def unpacked(number: int, values: NDArray[np.floating], wire: int) -> bytes:
    tag, kind = varint(number << 3 | wire), "<f" if wire == 5 else "<d"
    return b"".join(tag + struct.pack(kind, value) for value in values.ravel())


def blob(array: NDArray[np.floating], *, old_dims: bool = False, numbers: str = "packed") -> bytes:
    """A BlobProto; ``numbers`` is packed, unpacked, double or unpacked double."""
    if old_dims:
        dims = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(field(i + 1, dim) for i, dim in enumerate(dims))
    else:
        shape = field(7, field(1, b"".join(varint(dim) for dim in array.shape)))
    match numbers:
        case "packed":
            data = field(5, array.astype("<f4").tobytes())
        case "unpacked":
            data = unpacked(5, array, 5)
        case "double":
            data = field(8, array.astype("<f8").tobytes())
        case _:
            data = unpacked(8, array, 1)
    return data + shape


def caffemodel(
    arrays: Mapping[str, Sequence[NDArray[np.floating]]],
    *,
    age: int = 2,
    old_dims: bool = False,
    numbers: str = "packed",
    types: Mapping[str, str] | None = None,
) -> bytes:
    """A NetParameter with one layer for each name, in one of the forms 0, 1 and 2."""
    out = field(1, "net")
    for name, layer in arrays.items():
        blobs = [blob(array, old_dims=old_dims, numbers=numbers) for array in layer]
        kind = (types or {}).get(name, "Convolution")
        if age == 2:
            body = field(1, name) + field(2, kind) + b"".join(field(7, data) for data in blobs)
            out += field(100, body)
        elif age == 1:
            body = field(4, name) + field(5, V1_TYPES.index(kind)) + b"".join(field(6, data) for data in blobs)
            out += field(2, body)
        else:
            inner = field(1, name) + field(2, kind.lower()) + b"".join(field(50, data) for data in blobs)
            out += field(2, field(1, inner))
    return out


def structure_of_text(text: str) -> Structure:
    return structured(read_net(text, "net.prototxt"), "net.prototxt")


def random_arrays(text: str, seed: int = 0) -> Arrays:
    """Weights for every layer of a network, scaled as for layers with ReLU (He et al. 2015), by name of layer."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}

    def normal(*shape: int, scale: float) -> NDArray[np.float32]:
        return (scale * rng.standard_normal(shape, np.float32)).astype(np.float32)

    for step in (step for made in structure_of_text(text).blobs for step in made.steps):
        name = step.layer.name
        match step.operation:
            case Convolution(channels=(before, after), kernel=(h, w), groups=groups, bias=bias):
                fan = before // groups * h * w
                arrays[name] = [normal(after, before // groups, h, w, scale=(2 / fan) ** 0.5)]
                arrays[name] += [normal(after, scale=0.1)] * bias
            case InnerProduct(values=(before, after), bias=bias, transposed=transposed):
                shape = (before, after) if transposed else (after, before)
                arrays[name] = [normal(*shape, scale=(2 / before) ** 0.5), *[normal(after, scale=0.1)] * bias]
            case BatchNorm(channels=channels, scale=scale, shift=shift):
                variance = 0.5 + rng.random(channels, np.float32)
                arrays[name] = [normal(channels, scale=99.0), 99 * variance, np.array([99.0], np.float32)]
                if scale:
                    arrays[scale] = [1 + normal(channels, scale=0.2), *[normal(channels, scale=0.1)] * shift]
            case Scale(channels=channels, bias=bias):
                arrays[name] = [1 + normal(channels, scale=0.2), *[normal(channels, scale=0.1)] * bias]
            case PReLU(slopes=slopes):
                arrays[name] = [0.25 + normal(slopes, scale=0.05)]
    return arrays
