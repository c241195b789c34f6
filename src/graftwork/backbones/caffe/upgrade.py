"""A prototxt of any age becomes layers of one form, those that run at test time, as Caffe upgrades it.

Caffe had three forms: ``layers { layer { type: "conv" } }``, ``layers { type: CONVOLUTION }`` and
``layer { type: "Convolution" }``. Images came from data layers, from ``input`` with ``input_dim``, or from an
``Input`` layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from graftwork.backbones.caffe.prototxt import parsed
from graftwork.backbones.caffe.schema import MESSAGES, Message
from graftwork.errors import BackboneError

V1_TYPES = (
    "None", "Accuracy", "BNLL", "Concat", "Convolution", "Data", "Dropout", "EuclideanLoss", "Flatten", "HDF5Data",
    "HDF5Output", "Im2col", "ImageData", "InfogainLoss", "InnerProduct", "LRN", "MultinomialLogisticLoss", "Pooling",
    "ReLU", "Sigmoid", "Softmax", "SoftmaxWithLoss", "Split", "TanH", "WindowData", "Eltwise", "Power",
    "SigmoidCrossEntropyLoss", "HingeLoss", "MemoryData", "ArgMax", "Threshold", "DummyData", "Slice", "MVN", "AbsVal",
    "Silence", "ContrastiveLoss", "Exp", "Deconvolution",
)  # fmt: skip
"""Today's names of the types that the second form has as an enumeration, in its order."""
_V1_NAMES = {
    **{name.upper(): name for name in V1_TYPES},
    "EUCLIDEAN_LOSS": "EuclideanLoss", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
    "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "WINDOW_DATA": "WindowData", "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "HINGE_LOSS": "HingeLoss",
    "MEMORY_DATA": "MemoryData", "DUMMY_DATA": "DummyData", "CONTRASTIVE_LOSS": "ContrastiveLoss",
}  # fmt: skip
_V0_NAMES = {
    "accuracy": "Accuracy", "bnll": "BNLL", "concat": "Concat", "conv": "Convolution", "data": "Data",
    "dropout": "Dropout", "euclidean_loss": "EuclideanLoss", "flatten": "Flatten", "hdf5_data": "HDF5Data",
    "images": "ImageData", "im2col": "Im2col", "infogain_loss": "InfogainLoss", "innerproduct": "InnerProduct",
    "lrn": "LRN", "multinomial_logistic_loss": "MultinomialLogisticLoss", "pool": "Pooling", "relu": "ReLU",
    "sigmoid": "Sigmoid", "softmax": "Softmax", "softmax_loss": "SoftmaxWithLoss", "split": "Split", "tanh": "TanH",
    "window_data": "WindowData", "hdf5_output": "HDF5Output",
}  # fmt: skip
_V0_PARAMS: dict[str, tuple[str, dict[str, str]]] = {
    "Convolution": ("convolution_param", {
        "num_output": "num_output", "biasterm": "bias_term", "pad": "pad", "kernelsize": "kernel_size",
        "group": "group", "stride": "stride",
    }),
    "InnerProduct": ("inner_product_param", {"num_output": "num_output", "biasterm": "bias_term"}),
    "Pooling": ("pooling_param", {"pool": "pool", "pad": "pad", "kernelsize": "kernel_size", "stride": "stride"}),
    "LRN": ("lrn_param", {"local_size": "local_size", "alpha": "alpha", "beta": "beta", "k": "k"}),
    "Dropout": ("dropout_param", {"dropout_ratio": "dropout_ratio"}),
    "Concat": ("concat_param", {"concat_dim": "concat_dim"}),
    "Data": ("transform_param", {"scale": "scale", "cropsize": "crop_size", "meanfile": "mean_file"}),
    "ImageData": ("transform_param", {"scale": "scale", "cropsize": "crop_size", "meanfile": "mean_file"}),
}  # fmt: skip
"""Where the parameters of the first form are now."""
DATA_TYPES = {"Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData", "AnnotatedData"}
_PADDING = "padding"
_LONGEST = 200
"""Of a name."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of today's form."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    parameters: Message
    """A ``LayerParameter``."""
    where: str
    """File and line."""

    @property
    def place(self) -> str:
        """The beginning of a sentence about it."""
        return f"{self.where}: the layer {self.name} ({self.type})"


@dataclasses.dataclass(frozen=True)
class Transform:
    """What the data layer of a prototxt says about the input, as far as it says anything."""

    scale: float = 1.0
    mean: tuple[float, ...] = ()
    """Per channel in the network's order, on a scale of 0 to 255."""
    mean_file: str = ""


@dataclasses.dataclass(frozen=True)
class Net:
    """A network as a list of layers."""

    name: str
    inputs: dict[str, tuple[int, ...]]
    """Blobs that come from outside, with the shape of one image; empty where the text does not say it."""
    layers: tuple[Layer, ...]
    """In the order of the text, without those that give the inputs."""
    transform: Transform


def read_net(text: str, where: str) -> Net:
    """Return the network that a prototxt describes, as it runs at test time.

    Raises
    ------
    BackboneError
        When the text is no network of Caffe; the message names the line.
    """
    net = parsed(text, "NetParameter", where)
    if net.has("layer") and net.has("layers"):
        raise BackboneError(f"{where} must have `layer` or the older `layers`, but has both; use one of them")
    running = [
        layer for raw in (*net.all("layers"), *net.all("layer")) if (layer := _layer(raw, where)) and _runs(layer, net)
    ]
    layers = tuple(_without_padding_layers(running))
    inputs = _net_inputs(net, where)
    transform = Transform()
    for layer in layers:
        if layer.type == "Input":
            shapes = [_of_one_image(s.all("dim")) for s in layer.parameters.message("input_param").all("shape")]
            inputs |= _by_top(layer, shapes)
        elif layer.type in DATA_TYPES:
            transform, crop_px = _transform(layer.parameters)
            inputs |= _by_top(layer, [(3, crop_px, crop_px) if crop_px else (), *[()] * (len(layer.tops) - 1)])
    if not layers:
        raise BackboneError(f"{where} must be a network of Caffe, but has no layers; check which file is the network's")
    computed = tuple(layer for layer in layers if layer.type != "Input" and layer.type not in DATA_TYPES)
    return Net(str(net.one("name")), inputs, computed, transform)


def _layer(raw: Message, where: str) -> Layer:
    place = f"{where}, line {raw.line}"
    if raw.kind == "V1LayerParameter" and raw.has("layer"):
        return _layer_of_v0(raw, place)
    kind = raw.one("type")
    if raw.kind == "V1LayerParameter":
        number = int(kind) if str(kind).isdigit() else -1
        kind = V1_TYPES[number] if 0 <= number < len(V1_TYPES) else _V1_NAMES.get(str(kind), str(kind))
    tops, bottoms = tuple(raw.all("top")), tuple(raw.all("bottom"))
    # the second form's parameters are a part of the third's
    message = dataclasses.replace(raw, kind="LayerParameter")
    return _named(Layer(str(raw.one("name")), str(kind), bottoms, tops, message, place))


def _named(layer: Layer) -> Layer:
    """The layer, once its names can be shown and told apart."""
    if not layer.type or "" in (*layer.tops, *layer.bottoms):
        raise BackboneError(f"{layer.where}: a layer must have a type and names for its blobs, but lacks one; add it")
    names = (layer.name, layer.type, *layer.tops, *layer.bottoms)
    if any(len(name) > _LONGEST or not name.isprintable() for name in names):
        raise BackboneError(
            f"{layer.where}: names must be printable, with at most {_LONGEST} characters, but one has not; change it"
        )
    return layer


def _layer_of_v0(raw: Message, place: str) -> Layer:
    old = raw.message("layer")
    kind = _V0_NAMES.get(old.one("type"), old.one("type"))
    values: dict[str, tuple[Any, ...]] = {}
    if kind in _V0_PARAMS:
        name, fields = _V0_PARAMS[kind]
        given = {new: (old.one(before),) for before, new in fields.items() if old.has(before)}
        values[name] = (Message(MESSAGES["LayerParameter"][name].kind, given, raw.line),)
    elif kind == _PADDING:
        values[_PADDING] = (old.one("pad"),)
    message = Message("LayerParameter", values, raw.line)
    return _named(Layer(old.one("name"), kind, tuple(raw.all("bottom")), tuple(raw.all("top")), message, place))


def _without_padding_layers(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The first form padded in a layer of its own; today the layer behind it does."""
    padded: dict[str, tuple[str, int]] = {}
    for layer in layers:
        if layer.type == _PADDING and layer.bottoms and layer.tops:
            padded[layer.tops[0]] = layer.bottoms[0], layer.parameters.values[_PADDING][0]
            continue
        if layer.bottoms and layer.bottoms[0] in padded:
            if layer.type not in ("Convolution", "Pooling"):
                raise BackboneError(f"{layer.place} must not be behind a padding layer, but is; pad a convolution")
            source, pad = padded[layer.bottoms[0]]
            name = _V0_PARAMS[layer.type][0]
            inner = layer.parameters.message(name)
            inner = dataclasses.replace(inner, values={**inner.values, "pad": (pad,)})
            message = dataclasses.replace(layer.parameters, values={**layer.parameters.values, name: (inner,)})
            layer = dataclasses.replace(layer, bottoms=(source, *layer.bottoms[1:]), parameters=message)
        yield layer


def _runs(layer: Layer, net: Message) -> bool:
    """Whether a layer is part of the network at test time: an ``include`` that is met, or no ``exclude`` that is."""
    state = net.message("state")
    include, exclude = layer.parameters.all("include"), layer.parameters.all("exclude")
    if include:
        return any(_is_met(rule, state) for rule in include)
    return not any(_is_met(rule, state) for rule in exclude)


def _is_met(rule: Message, state: Message) -> bool:
    level, stages = int(state.one("level")), set(state.all("stage"))
    return (
        rule.one("phase") in (None, "TEST")
        and (rule.one("min_level") is None or level >= rule.one("min_level"))
        and (rule.one("max_level") is None or level <= rule.one("max_level"))
        and stages >= set(rule.all("stage"))
        and not stages & set(rule.all("not_stage"))
    )


def _net_inputs(net: Message, where: str) -> dict[str, tuple[int, ...]]:
    """The inputs in the head of the network, with ``input_shape`` or the older ``input_dim``, four for each."""
    names = net.all("input")
    shapes = [_of_one_image(shape.all("dim")) for shape in net.all("input_shape")]
    dims = net.all("input_dim")
    shapes = shapes or [_of_one_image(dims[i : i + 4]) for i in range(0, len(dims), 4)]
    if len(shapes) != len(names):
        raise BackboneError(
            f"{where} must give one shape for each input, but has {len(names)} inputs and {len(shapes)} shapes; add "
            "four `input_dim` or an `input_shape` for each"
        )
    return dict(zip(names, shapes, strict=True))


def _by_top(layer: Layer, shapes: Sequence[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    if len(shapes) == 1:  # one for all
        shapes = [shapes[0]] * len(layer.tops)
    if len(shapes) != len(layer.tops):
        raise BackboneError(
            f"{layer.place} must have a shape for each of its {len(layer.tops)} tops, but has {len(shapes)}; add "
            "`input_param { shape { dim: 1 dim: 3 dim: 227 dim: 227 } }` with the network's size"
        )
    return dict(zip(layer.tops, shapes, strict=True))


def _of_one_image(dims: Sequence[int]) -> tuple[int, ...]:
    return tuple(dims[1:])


def _transform(parameters: Message) -> tuple[Transform, int]:
    """What a data layer does to images, and the side of its crop in pixels, 0 if there is none; older places last."""
    given = [parameters.message(name) for name in ("transform_param", "data_param", "image_data_param")]

    def first(name: str) -> Any:
        return next((message.one(name) for message in given if message.has(name)), given[0].one(name))

    mean = tuple(float(value) for value in given[0].all("mean_value"))
    return Transform(float(first("scale")), mean, str(first("mean_file"))), int(first("crop_size"))
