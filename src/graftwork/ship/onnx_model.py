"""A fitted classifier as one ONNX model: preprocessing, body and head, joined."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import graftwork
from graftwork.core.fitted import Fitted
from graftwork.core.options import ExportInput
from graftwork.errors import BackboneError
from graftwork.images.views import views
from graftwork.ship.export_imports import import_onnx
from graftwork.ship.onnx_preprocess import IR_VERSION, OPSET, PIXELS, preprocess_model

VIEWS = "views"
"""Name of the input where it is the views of images, (n, views, input_px, input_px, 3) uint8 RGB."""
PROBABILITIES = "probabilities"
"""Name of the output: (k,) for an image, (n, k) for a number of them."""

_LARGEST_MB = 2000
"""An ONNX file is one message of protobuf, which ends at 2 GiB."""


def fitted_model(fitted: Fitted, body: Any, input: ExportInput) -> Any:
    """Return an ``onnx.ModelProto`` of the whole classifier.

    Parameters
    ----------
    body
        From pixels to the codes of ``fitted.taps``, as ``onnx_body.body_model`` gives it.
    input
        ``image``: one decoded image (height, width, 3) uint8 of any size, to probabilities (k,); ``fixed``: images at
        the input's size, (n, px, px, 3) uint8, or (n, views, px, px, 3) where codes are averaged over several views, to
        probabilities (n, k).

    Raises
    ------
    BackboneError
        When the network is larger than an ONNX file may be.
    UsageError
        When the packages for exporting are not installed.
    """
    onnx = import_onnx()
    body.ir_version = IR_VERSION
    parts = {"body": body, "head": _head(fitted, input)}
    if input == "image":
        parts = {"preprocess": preprocess_model(fitted.card.preprocess, views(fitted.views, seed=0)), **parts}
    elif fitted.views > 1:
        parts = {"preprocess": _side_by_side(fitted), **parts}
    first, *others = (
        onnx.compose.add_prefix(part, f"{name}/", rename_inputs=False, rename_outputs=False)
        for name, part in parts.items()
    )
    joined = functools.reduce(_behind, others, first)
    size_mb = joined.ByteSize() / 1e6
    if size_mb > _LARGEST_MB:
        raise BackboneError(
            f"an exported file must be below {_LARGEST_MB:,} MB, but this one would have {size_mb:,.0f}; use a smaller "
            "--backbone"
        )
    onnx.checker.check_model(joined, full_check=True)
    # shapes in between say "any number of images": with them tract could not be given one
    joined.graph.ClearField("value_info")
    joined.producer_name, joined.producer_version = "graftwork", graftwork.__version__
    return joined


def write_onnx(model: Any, metadata: Mapping[str, str], path: Path) -> None:
    """Write an ``onnx.ModelProto`` with metadata that every runtime hands on."""
    onnx = import_onnx()
    onnx.helper.set_model_props(model, dict(metadata))
    path.write_bytes(model.SerializeToString())


def _behind(first: Any, second: Any) -> Any:
    """One model, the inputs of the second being the outputs of the first, in their order."""
    outputs, inputs = [value.name for value in first.graph.output], [value.name for value in second.graph.input]
    return import_onnx().compose.merge_models(first, second, list(zip(outputs, inputs, strict=True)))


def _side_by_side(fitted: Fitted) -> Any:
    """The views of every image, one after the other."""
    px = fitted.card.preprocess.input_px
    return _parsed(f"""
preprocess (uint8[images, {fitted.views}, {px}, {px}, 3] {VIEWS}) => (uint8[rows, {px}, {px}, 3] {PIXELS}) {{
  shape = Constant <value_ints = [-1, {px}, {px}, 3]> ()
  {PIXELS} = Reshape ({VIEWS}, shape)
}}""")


def _head(fitted: Fitted, input: ExportInput) -> Any:
    """From the codes of each layer to probabilities, by the operations of ``core.fitted.probabilities``."""
    onnx = import_onnx()
    k, width = fitted.head.weight.shape
    rounded = ["Cast <to = 10> ({})", "Cast <to = 1> ({})"] if fitted.code_dtype == "float16" else []
    averaged = ["Reshape ({}, by_view)", "ReduceMean <keepdims = 0> ({}, second)", *rounded] if fitted.views > 1 else []
    names = [f"code{number}" for number in range(len(fitted.taps))]
    steps = [
        f"Concat <axis = 1> ({', '.join(names)})",
        *rounded,
        *averaged,
        *(["LpNormalization <axis = 1, p = 2> ({})"] if fitted.normalise == "l2" else []),
        "MatMul ({}, weight)",
        "Add ({}, bias)",
        "Div ({}, temperature)",
        "Softmax <axis = 1> ({})",
        *(["Squeeze ({}, first)"] if input == "image" else []),
    ]
    values = [*(f"value{number}" for number in range(len(steps) - 1)), PROBABILITIES]
    lines = [
        f"{value} = {step.format(before)}" for value, step, before in zip(values, steps, ["", *values], strict=False)
    ]
    codes = ", ".join(f"float[rows, {tap.channels}] {name}" for tap, name in zip(fitted.taps, names, strict=True))
    shape = f"{k}" if input == "image" else f"images, {k}"
    text = f"head ({codes}) => (float[{shape}] {PROBABILITIES}) {{\n" + "\n".join(lines) + "\n}"
    model = _parsed(text)
    constants = {
        "weight": np.ascontiguousarray(fitted.head.weight.T, np.float32),
        "bias": fitted.head.bias.astype(np.float32),
        "temperature": np.float32(fitted.head.temperature),
        "by_view": np.array([-1, fitted.views, width]),
        "first": np.array([0]),
        "second": np.array([1]),
    }
    for name, value in constants.items():
        if name in text:
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    return model


def _parsed(text: str) -> Any:
    return import_onnx().parser.parse_model(f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>\n{text}')
