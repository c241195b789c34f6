"""A quantised network runs: in OpenVINO, which is the faster one, or in onnxruntime."""

from __future__ import annotations

import json
from typing import Any

from graftwork.backbones.engines import Engine
from graftwork.backbones.onnx_engine import OnnxEngine
from graftwork.backbones.openvino_engine import BATCH, NAMES_KEY, OpenVINOEngine
from graftwork.core.options import Runtime
from graftwork.ship.export_imports import import_onnxruntime, openvino_core


def int8_engine(body: Any, runtime: Runtime, calibration: str) -> Engine:
    """Return an engine that runs a quantised body (``onnx_int8.quantised_model``).

    Parameters
    ----------
    calibration
        What tells it apart from others (``onnx_int8.calibration_name``).

    Raises
    ------
    UsageError
        When the runtime is not installed.
    """
    name = f"{runtime} int8 {calibration}"
    if runtime == "openvino":
        return OpenVINOEngine(openvino_graph(body), name=name)
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(body.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return OnnxEngine(session, name)


def openvino_graph(body: Any) -> Any:
    """Return an ``openvino.Model`` of a body in ONNX, for batches of one size, as ``OpenVINOEngine`` runs it."""
    graph = openvino_core().read_model(body.SerializeToString())
    (entry,) = graph.get_parameters()
    graph.reshape([BATCH, *(side.get_length() for side in list(entry.partial_shape)[1:])])
    graph.set_rt_info(json.dumps([output.name for output in body.graph.output]), NAMES_KEY)
    return graph
