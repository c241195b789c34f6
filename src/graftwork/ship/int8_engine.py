"""A quantised network runs: in OpenVINO, which is the faster one, or in onnxruntime."""

from __future__ import annotations

import json
from typing import Any

from graftwork.backbones.engines import Engine, int8_graph_file
from graftwork.backbones.onnx_engine import OnnxEngine
from graftwork.backbones.openvino_engine import BATCH, NAMES_KEY, OpenVINOEngine, write_graph
from graftwork.core.facts import BackboneCard
from graftwork.core.options import Runtime
from graftwork.files import whole_folder
from graftwork.images.imageset import ImageSet
from graftwork.ship.export_imports import import_onnxruntime, openvino_core, require_packages
from graftwork.ship.onnx_int8 import calibration_images, calibration_name, calibration_pixels, quantised_model


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


def cached_int8_engine(card: BackboneCard, develop: ImageSet) -> str:
    """Return the name of OpenVINO's engine in 8 bits for the layers in ``card.taps``; the cache has its graph then.

    Parameters
    ----------
    develop
        Images to calibrate it on; some are taken.

    Raises
    ------
    BackboneError
        When the network cannot be loaded, quantised or take this input.
    UsageError
        When a package is missing.
    """
    require_packages("onnxruntime")
    openvino_core()
    images = calibration_images(develop)
    name = f"openvino int8 {calibration_name(images, card.preprocess)}"
    file = int8_graph_file(card, name)
    if not file.is_file():
        from graftwork.backbones.graph import codes_network
        from graftwork.backbones.load import load
        from graftwork.ship.onnx_body import body_model

        body = body_model(codes_network(load(card), card), card.preprocess.input_px)
        graph = openvino_graph(quantised_model(body, calibration_pixels(images, card.preprocess)))
        with whole_folder(file.parent) as part:
            write_graph(graph, part / file.name)
    return name


def openvino_graph(body: Any) -> Any:
    """Return an ``openvino.Model`` of a body in ONNX, for batches of one size, as ``OpenVINOEngine`` runs it."""
    graph = openvino_core().read_model(body.SerializeToString())
    (entry,) = graph.get_parameters()
    graph.reshape([BATCH, *(side.get_length() for side in list(entry.partial_shape)[1:])])
    graph.set_rt_info(json.dumps([output.name for output in body.graph.output]), NAMES_KEY)
    return graph
