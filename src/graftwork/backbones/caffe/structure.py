"""Layers become blobs: what each is made of, which are written in place, which everything later is rooted in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from graftwork.backbones.caffe.operations import (
    BatchNorm,
    InnerProduct,
    Operation,
    Plain,
    Pooling,
    Scale,
    Shape,
)
from graftwork.backbones.caffe.rules import MOST_VALUES, planned, refused
from graftwork.backbones.caffe.upgrade import Layer, Net
from graftwork.errors import BackboneError

_LEFT_OUT = {"Accuracy", "ArgMax", "Silence", "HDF5Output", "SoftmaxWithLoss"}
"""Types that judge, besides everything whose name ends in Loss."""
_RGB = 3


@dataclasses.dataclass(frozen=True)
class Step:
    """One layer, as it runs."""

    layer: Layer
    operation: Operation
    shape: Shape
    """Of one image that comes out."""


@dataclasses.dataclass(frozen=True)
class Blob:
    """A blob, and the layers that write it: the first makes it, the others work in place."""

    name: str
    inputs: tuple[str, ...]
    """Blobs that the first layer reads."""
    steps: tuple[Step, ...]


@dataclasses.dataclass(frozen=True)
class Structure:
    """A network as blobs that become one after the other."""

    name: str
    input: str
    input_px: int
    blobs: tuple[Blob, ...]
    """In the order in which they are computed; the last is the output, without a softmax at its end."""
    left_out: tuple[str, ...]
    """Layers that judge or train only, or that the output does not need."""
    one_size: bool
    """Whether images must have exactly ``input_px``: a matrix product counts all pixels."""

    @property
    def trunk(self) -> tuple[str, ...]:
        """Blobs in which everything later is rooted, without bottlenecks, which belong to what widens them again."""
        until = {name: i for i, blob in enumerate(self.blobs) for name in blob.inputs}
        reach = until[self.input]
        trunk: list[Blob] = []
        for i, blob in enumerate(self.blobs):
            if reach <= i:
                trunk.append(blob)
            reach = max(reach, until.get(blob.name, i))
        shapes = [blob.steps[-1].shape for blob in trunk]
        narrow = {
            i
            for i in range(1, len(trunk) - 1)
            if len(shapes[i]) == 3 and shapes[i][0] < min(shapes[i - 1][0], shapes[i + 1][0])
        }
        return tuple(blob.name for i, blob in enumerate(trunk) if i not in narrow)

    @property
    def outputs(self) -> int:
        """Length of what the network gives: the number of classes, where it ends in a classifier."""
        return math.prod(self.blobs[-1].steps[-1].shape)


def structured(net: Net, where: str) -> Structure:
    """Return the blobs of a network.

    Raises
    ------
    BackboneError
        When the network does not hold together, is not for square images of three channels, or has a layer that is
        not known.
    """
    layers, left_out = _computing(net)
    blobs, behind = _up_to_output(_blobs(layers, net, where), where)
    roots = {name for blob in blobs for name in blob.inputs if name in net.inputs}
    if len(roots) != 1:
        raise BackboneError(f"{where} must have one input, but has {', '.join(sorted(roots)) or 'none'}; cut it off")
    root = roots.pop()
    shape = net.inputs[root]
    if len(shape) != 3 or shape[0] != _RGB or shape[1] != shape[2]:
        raise BackboneError(
            f"{where} must take square images of 3 channels, but its input {root} is {' x '.join(map(str, shape))}; "
            "choose another network"
        )
    used = {name for blob in blobs for step in blob.steps for name in _layers_of(step)} | behind
    unused = [layer.name for layer in layers if layer.name not in used]
    return Structure(net.name, root, shape[1], blobs, (*left_out, *unused), _takes_one_size(blobs))


def _computing(net: Net) -> tuple[list[Layer], list[str]]:
    """The layers that compute, and the names of those that judge."""
    computing: list[Layer] = []
    judging: list[Layer] = []
    for layer in net.layers:
        judges = layer.type in _LEFT_OUT or layer.type.endswith("Loss")
        (judging if judges else computing).append(layer)
    return computing, [layer.name for layer in judging]


def _blobs(layers: Sequence[Layer], net: Net, where: str) -> list[Blob]:
    """Every blob that the layers make."""
    shapes: dict[str, Shape] = {}
    for name, shape in net.inputs.items():
        if shape and (min(shape) < 1 or math.prod(shape) > MOST_VALUES):
            raise BackboneError(f"{where} must have an input of a possible size, but {name} is {shape}; correct it")
        shapes[name] = shape
    made: dict[str, Blob] = {}
    readers: dict[str, str] = {}
    for layer in layers:
        _require_wired(layer, shapes)
        if not all(shapes[name] for name in layer.bottoms):
            raise BackboneError(
                f"{layer.place} must have an input of known size, but the data layer gives none; give the "
                "deploy.prototxt, whose input has a shape"
            )
        operation, shape = planned(layer, [shapes[name] for name in layer.bottoms])
        step = Step(layer, operation, shape)
        for top in layer.tops:
            if top == layer.bottoms[0] and len(layer.tops) == 1:
                _require_in_place(layer, shape, shapes, readers)
                blob = made.get(top, Blob(top, (top,), ()))
                made[top] = dataclasses.replace(blob, steps=_joined(blob.steps, step))
            elif top in shapes:
                raise refused(layer, "must write a blob of its own or in place", f"another layer writes {top} too")
            else:
                made[top] = Blob(top, layer.bottoms, (step,))
            shapes[top] = shape
        readers |= {name: layer.name for name in layer.bottoms if name not in layer.tops}
    return list(made.values())


def _require_wired(layer: Layer, shapes: dict[str, Shape]) -> None:
    for name in layer.bottoms:
        if name not in shapes:
            raise refused(layer, "must read blobs that a layer above it gives", f"none gives {name}")
    if not layer.bottoms or (len(layer.tops) != 1 and layer.type != "Split") or not layer.tops:
        raise refused(layer, "must read a blob and give one", f"reads {len(layer.bottoms)} and gives {len(layer.tops)}")


def _require_in_place(layer: Layer, shape: Shape, shapes: dict[str, Shape], readers: dict[str, str]) -> None:
    top = layer.tops[0]
    if len(layer.bottoms) > 1 or shape != shapes[top]:
        raise refused(layer, "must not work in place with several bottoms or another shape", f"writes {top} so")
    if top in readers:
        raise refused(layer, f"must not change {top} in place where others read it", f"{readers[top]} reads it before")


def _joined(steps: tuple[Step, ...], step: Step) -> tuple[Step, ...]:
    """Steps with one more; a Scale behind a BatchNorm becomes part of it, as in every other library."""
    last = steps[-1] if steps else None
    if (
        last
        and isinstance(step.operation, Scale)
        and isinstance(last.operation, BatchNorm)
        and not last.operation.scale
    ):
        scaled = dataclasses.replace(last.operation, scale=step.layer.name, shift=step.operation.bias)
        return (*steps[:-1], dataclasses.replace(last, operation=scaled))
    return (*steps, step)


def _up_to_output(blobs: Sequence[Blob], where: str) -> tuple[tuple[Blob, ...], set[str]]:
    """The blobs that the last output needs, and the layers that were taken from its end: softmax says nothing new."""
    read = {name for blob in blobs for name in blob.inputs if name != blob.name}
    ends = [blob for blob in blobs if blob.name not in read]
    by_name = {blob.name: blob for blob in blobs}
    end = ends[-1] if ends else None
    behind: set[str] = set()
    while end is not None:
        steps = end.steps
        while steps and steps[-1].operation == Plain("Softmax"):
            behind.add(steps[-1].layer.name)
            steps = steps[:-1]
        if steps:
            by_name[end.name] = end = dataclasses.replace(end, steps=steps)
            break
        end = by_name.get(end.inputs[0]) if end.inputs[0] != end.name else None
    if end is None:
        raise BackboneError(f"{where} must compute something of its input, but does not; check the file")
    needed, waiting = set(), [end.name]
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in needed:
            needed.add(name)
            waiting += by_name[name].inputs
    return tuple(by_name[blob.name] for blob in blobs if blob.name in needed), behind


def _layers_of(step: Step) -> tuple[str, ...]:
    scale = step.operation.scale if isinstance(step.operation, BatchNorm) else ""
    return (step.layer.name, scale) if scale else (step.layer.name,)


def _takes_one_size(blobs: Sequence[Blob]) -> bool:
    """Whether a matrix product counts pixels: what it reads depends on the size of the image."""
    fixed: set[str] = set()
    for blob in blobs:
        operations = [step.operation for step in blob.steps]
        product = any(isinstance(operation, InnerProduct) for operation in operations)
        if product and not fixed.issuperset(blob.inputs):
            return True
        everywhere = any(isinstance(operation, Pooling) and operation.everything for operation in operations)
        if product or everywhere or fixed.issuperset(blob.inputs):
            fixed.add(blob.name)
    return False
