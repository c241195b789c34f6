"""The messages of Caffe that matter here, as data; both readers follow it.

A field without a number is read from text only: a binary file gives names and arrays, never structure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = {"int", "float", "bool", "enum"}
"""Kinds of a single value, besides ``string``; ``floats`` and ``doubles`` are arrays, any other kind is a message."""
IGNORED = "ignored"
"""Kind of a field that changes nothing about what a network computes."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a message."""

    kind: str
    number: int = 0
    repeated: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    """Names of an enumeration, by their numbers."""


@dataclasses.dataclass(frozen=True)
class Message:
    """What was read of one message."""

    kind: str
    values: Mapping[str, tuple[Any, ...]]
    """In the order of the file; a field that is not there is missing."""
    line: int = 0
    """Where it begins in a text; 0 in a binary file."""

    def has(self, name: str) -> bool:
        """Whether a field is given."""
        return bool(self.values.get(name))

    def one(self, name: str) -> Any:
        """Return the value of a field, the last one if there are several, or the schema's default."""
        values = self.values.get(name)
        return values[-1] if values else MESSAGES[self.kind][name].default

    def all(self, name: str) -> tuple[Any, ...]:
        """Return every value of a repeated field."""
        return self.values.get(name, ())

    def message(self, name: str) -> Message:
        """Return a field that is a message, an empty one if it is not given."""
        value = self.one(name)
        return value if isinstance(value, Message) else Message(MESSAGES[self.kind][name].kind, {}, self.line)

    def array(self, name: str) -> NDArray[Any]:
        """Return the numbers of an array, a view of the file where they are in one piece."""
        pieces = self.values.get(name, ())
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros(0, np.float32), *pieces])


def _int(default: int | None = None, number: int = 0) -> Field:
    return Field("int", number, default=default)


def _ints(number: int = 0) -> Field:
    return Field("int", number, repeated=True)


def _float(default: float) -> Field:
    return Field("float", default=default)


def _bool(default: bool) -> Field:
    return Field("bool", default=default)


def _string(number: int = 0) -> Field:
    return Field("string", number, default="")


def _strings(number: int = 0) -> Field:
    return Field("string", number, repeated=True)


def _many(kind: str, number: int = 0) -> Field:
    return Field(kind, number, repeated=True)


_NOTHING = Field(IGNORED)
_PHASES = ("TRAIN", "TEST")
_PARAMS = {
    "concat_param": Field("ConcatParameter"), "convolution_param": Field("ConvolutionParameter"),
    "dropout_param": Field("DropoutParameter"), "eltwise_param": Field("EltwiseParameter"),
    "inner_product_param": Field("InnerProductParameter"), "lrn_param": Field("LRNParameter"),
    "pooling_param": Field("PoolingParameter"), "power_param": Field("PowerParameter"),
    "relu_param": Field("ReLUParameter"),
    "softmax_param": Field("SoftmaxParameter"), "transform_param": Field("TransformationParameter"),
    "data_param": Field("OldDataParameter"), "image_data_param": Field("OldDataParameter"),
    "include": _many("NetStateRule"), "exclude": _many("NetStateRule"),
}  # fmt: skip

MESSAGES: Mapping[str, Mapping[str, Field]] = {
    "NetParameter": {
        "name": _string(1), "layers": _many("V1LayerParameter", 2), "layer": _many("LayerParameter", 100),
        "input": _strings(), "input_dim": _ints(), "input_shape": _many("BlobShape"), "state": Field("NetState"),
    },
    "LayerParameter": {
        "name": _string(1), "type": _string(), "bottom": _strings(), "top": _strings(),
        "blobs": _many("BlobProto", 7), "phase": Field("enum", choices=_PHASES), **_PARAMS,
        "batch_norm_param": Field("BatchNormParameter"), "flatten_param": Field("FlattenParameter"),
        "input_param": Field("InputParameter"), "prelu_param": Field("PReLUParameter"),
        "reshape_param": Field("ReshapeParameter"), "scale_param": Field("ScaleParameter"),
    },
    "V1LayerParameter": {
        "layer": Field("V0LayerParameter", 1), "bottom": _strings(), "top": _strings(), "name": _string(4),
        "type": Field("enum"), "blobs": _many("BlobProto", 6), **_PARAMS,
    },
    "V0LayerParameter": {
        "name": _string(1), "type": _string(), "num_output": _int(), "biasterm": _bool(True), "pad": _int(0),
        "kernelsize": _int(0), "group": _int(1), "stride": _int(1),
        "pool": Field("enum", default="MAX", choices=("MAX", "AVE", "STOCHASTIC")), "local_size": _int(5),
        "alpha": _float(1.0), "beta": _float(0.75), "k": _float(1.0), "scale": _float(1.0), "meanfile": _string(),
        "cropsize": _int(0), "dropout_ratio": _float(0.5), "concat_dim": _int(1), "blobs": _many("BlobProto", 50),
    },
    "BlobProto": {
        "num": _int(0, 1), "channels": _int(0, 2), "height": _int(0, 3), "width": _int(0, 4),
        "data": _many("floats", 5), "shape": Field("BlobShape", 7), "double_data": _many("doubles", 8),
    },
    "BlobShape": {"dim": _ints(1)},
    "NetState": {"phase": Field("enum", choices=_PHASES, default="TEST"), "level": _int(0), "stage": _strings()},
    "NetStateRule": {
        "phase": Field("enum", choices=_PHASES), "min_level": _int(), "max_level": _int(), "stage": _strings(),
        "not_stage": _strings(),
    },
    "InputParameter": {"shape": _many("BlobShape")},
    "TransformationParameter": {
        "scale": _float(1.0), "crop_size": _int(0), "mean_file": _string(),
        "mean_value": Field("float", repeated=True), "mirror": _NOTHING, "force_color": _NOTHING,
        "force_gray": _NOTHING,
    },
    "OldDataParameter": {"scale": _float(1.0), "crop_size": _int(0), "mean_file": _string()},
    "ConvolutionParameter": {
        "num_output": _int(), "bias_term": _bool(True), "pad": _ints(), "kernel_size": _ints(), "stride": _ints(),
        "dilation": _ints(), "pad_h": _int(0), "pad_w": _int(0), "kernel_h": _int(), "kernel_w": _int(),
        "stride_h": _int(1), "stride_w": _int(1), "group": _int(1), "axis": _int(1), "weight_filler": _NOTHING,
        "bias_filler": _NOTHING, "engine": _NOTHING, "force_nd_im2col": _NOTHING,
    },
    "InnerProductParameter": {
        "num_output": _int(), "bias_term": _bool(True), "axis": _int(1), "transpose": _bool(False),
        "weight_filler": _NOTHING, "bias_filler": _NOTHING,
    },
    "PoolingParameter": {
        "pool": Field("enum", default="MAX", choices=("MAX", "AVE", "STOCHASTIC")), "pad": _ints(),
        "pad_h": _int(0), "pad_w": _int(0), "kernel_size": _ints(), "kernel_h": _int(), "kernel_w": _int(),
        "stride": _ints(), "stride_h": _int(1), "stride_w": _int(1), "engine": _NOTHING,
        "global_pooling": _bool(False), "round_mode": Field("enum", default="CEIL", choices=("CEIL", "FLOOR")),
        "ceil_mode": _bool(True),
    },
    "ReLUParameter": {"negative_slope": _float(0.0), "engine": _NOTHING},
    "PReLUParameter": {"filler": _NOTHING, "channel_shared": _bool(False)},
    "LRNParameter": {
        "local_size": _int(5), "alpha": _float(1.0), "beta": _float(0.75), "k": _float(1.0), "engine": _NOTHING,
        "norm_region": Field("enum", default="ACROSS_CHANNELS", choices=("ACROSS_CHANNELS", "WITHIN_CHANNEL")),
    },
    "BatchNormParameter": {
        "use_global_stats": _bool(True), "moving_average_fraction": _NOTHING, "eps": _float(1e-5),
    },
    "ScaleParameter": {
        "axis": _int(1), "num_axes": _int(1), "filler": _NOTHING, "bias_term": _bool(False), "bias_filler": _NOTHING,
    },
    "DropoutParameter": {"dropout_ratio": _float(0.5), "scale_train": _NOTHING},
    "ConcatParameter": {"axis": _int(1), "concat_dim": _int(1)},
    "EltwiseParameter": {
        "operation": Field("enum", default="SUM", choices=("PROD", "SUM", "MAX")),
        "coeff": Field("float", repeated=True), "stable_prod_grad": _NOTHING,
    },
    "SoftmaxParameter": {"axis": _int(1), "engine": _NOTHING},
    "FlattenParameter": {"axis": _int(1), "end_axis": _int(-1)},
    "ReshapeParameter": {"shape": Field("BlobShape"), "axis": _int(0), "num_axes": _int(-1)},
    "PowerParameter": {"power": _float(1.0), "scale": _float(1.0), "shift": _float(0.0)},
}  # fmt: skip

OPEN = {"NetParameter", "LayerParameter", "V1LayerParameter", "V0LayerParameter", "OldDataParameter", "BlobProto"}
"""Messages with many fields that change nothing here; in any other, a field that is not listed is refused."""
