"""A classifier in ONNX becomes OpenVINO's own files: the same graph, so that what was proved of one holds for both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftwork.backbones.openvino_engine import write_graph
from graftwork.ship.export_imports import openvino_core

KEY = "graftwork"
"""Under it are the metadata of a file."""


def write_openvino(model: Any, metadata: Mapping[str, str], path: Path) -> None:
    """Write an ``onnx.ModelProto`` that takes pixels at the input's size as ``path`` (.xml) and the .bin beside it.

    Raises
    ------
    UsageError
        When OpenVINO is not installed.
    """
    graph = openvino_core().read_model(model.SerializeToString())
    for name, value in metadata.items():
        graph.set_rt_info(value, [KEY, name])
    write_graph(graph, path)
