"""A network of torch becomes ONNX: bytes at its input's size in, the codes of its layers out, any number of images."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from graftwork.backbones.graph import CodesNetwork
from graftwork.errors import BackboneError
from graftwork.ship.export_imports import import_onnx, import_onnxscript
from graftwork.ship.onnx_preprocess import IR_VERSION, OPSET, PIXELS

_OPERATOR = re.compile(r"OpOverload\(op='([\w.:]+)'")


def body_model(network: CodesNetwork, input_px: int) -> Any:
    """Return an ``onnx.ModelProto`` from ``PIXELS`` (n, input_px, input_px, 3) uint8 to the codes (n, d) of each layer.

    Its outputs have the names of the layers.

    Raises
    ------
    BackboneError
        When the network holds an operation that ONNX lacks, or depends on the values of its input.
    UsageError
        When the packages for exporting are not installed.
    """
    import_onnx()
    import_onnxscript()
    example = torch.zeros(2, input_px, input_px, 3, dtype=torch.uint8)
    images = torch.export.Dim("images", min=1)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: images},),
                input_names=[PIXELS],
                output_names=list(network.names),
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise BackboneError(f"the network must be one that ONNX can hold, but {_why(error)}; use another") from error
    assert program is not None
    return _without_traces(program.model_proto)


def _why(error: BaseException) -> str:
    """What the exporter stopped at, from the error at the root of its report."""
    while error.__cause__ is not None:
        error = error.__cause__
    operator = _OPERATOR.search(str(error))
    if operator is not None:
        return f"it has no operator for {operator[1]}"
    return f"exporting it stops at: {str(error).strip().splitlines()[0]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the exporter prints: every warning of its own, and pages about what it cannot do."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(disabled)


def _without_traces(model: Any) -> Any:
    """Drop the places in source files from which the exporter made each part: they name folders of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    model.ir_version = IR_VERSION
    return model
