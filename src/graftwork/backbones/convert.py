"""A network becomes a graph that OpenVINO runs, in memory or as files."""

from __future__ import annotations

import json
import warnings
from typing import Any

import torch

from graftwork.backbones.forward_pass import one_thread
from graftwork.backbones.graph import CodesNetwork
from graftwork.backbones.openvino_engine import BATCH, NAMES_KEY
from graftwork.backbones.openvino_import import import_openvino
from graftwork.errors import BackboneError


def to_graph(network: CodesNetwork, input_px: int, batch: int = BATCH) -> Any:
    """Return an ``openvino.Model`` with one output a layer, for batches of one size.

    OpenVINO's PyTorch frontend is called directly: ``convert_model`` traces three times to compare, and reports home.

    Raises
    ------
    BackboneError
        When the network cannot take images of this size, or holds an operation that OpenVINO does not know.
    """
    openvino = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(batch, input_px, input_px, 3, dtype=torch.uint8)
    try:
        # what a trace bakes in (shapes, the number of heads) is meant to be baked in
        with warnings.catch_warnings(), torch.no_grad(), one_thread():
            warnings.simplefilter("ignore")
            traced = torch.jit.freeze(_trace(network, example))
            frontend = FrontEndManager().load_by_framework("pytorch")
            decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
            graph = frontend.convert(frontend.load(decoder))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()
        raise BackboneError(
            f"the network must take {input_px} px and be convertible, but: {reason[-1] if reason else error}; "
            "choose another --input-px or backbone"
        ) from error
    graph.get_parameters()[0].set_element_type(openvino.Type.u8)
    graph.reshape([batch, input_px, input_px, 3])
    graph.set_rt_info(json.dumps(network.names), NAMES_KEY)
    return graph


def _trace(network: CodesNetwork, example: torch.Tensor) -> torch.jit.ScriptModule:
    traced: torch.jit.ScriptModule = torch.jit.trace(network, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
    return traced
