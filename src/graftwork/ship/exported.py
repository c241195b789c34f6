"""An exported file, opened by a runtime: what it says about itself, and the probabilities that it gives."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.core.options import Runtime
from graftwork.errors import ModelError, UsageError
from graftwork.images.pixels import prepared
from graftwork.images.views import views
from graftwork.ship.export_facts import ExportFacts, facts_in
from graftwork.ship.export_imports import import_onnx, import_onnxruntime, openvino_core
from graftwork.ship.openvino_model import KEY
from graftwork.ship.web_folder import MODEL
from graftwork.ship.web_node import NAME, NodeSession

_Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

_FRAMEWORK = "framework"
"""Under this key OpenVINO has the metadata of an ONNX file."""
_ERRORS_ONLY = 3
"""Level of what onnxruntime logs."""


class ExportedFile:
    """A file that ``graft export`` wrote, run by one of the runtimes that read it.

    Parameters
    ----------
    runtime
        Its name and version, for people.
    metadata
        As the file holds them.
    run
        From the file's input to its output.
    """

    def __init__(self, path: Path, runtime: str, metadata: Mapping[str, str], run: _Run) -> None:
        self.path, self.runtime, self._metadata, self._run = path, runtime, metadata, run

    @property
    def facts(self) -> ExportFacts:
        """What it says about itself; raises ModelError where ``graft export`` did not write it."""
        return facts_in(self._metadata, str(self.path))

    def probabilities(self, picture: NDArray[np.uint8], facts: ExportFacts) -> NDArray[np.float32]:
        """(k,) probabilities of a decoded image (h, w, 3) uint8 RGB, resized here where the file does not."""
        values = picture if facts.input == "image" else network_input(picture, facts)[None]
        with _one_line(self.path, self.runtime):
            rows = self._run(values)
        return rows.reshape(-1)


def network_input(picture: NDArray[np.uint8], facts: ExportFacts) -> NDArray[np.uint8]:
    """(px, px, 3) of a decoded image (h, w, 3), or (views, px, px, 3), for a file that does not resize itself."""
    from PIL import Image

    image = Image.fromarray(picture)
    seen = [prepared(image, facts.preprocess, view) for view in views(facts.views, seed=0)]
    return np.stack(seen) if len(seen) > 1 else seen[0]


def open_exported(path: Path, runtime: Runtime) -> ExportedFile:
    """Open an exported file, in float32.

    Raises
    ------
    ModelError
        When the runtime cannot read it.
    UsageError
        When the runtime is not installed, or reads no files of this kind.
    """
    if path.suffix == ".xml" and runtime != "openvino":
        raise UsageError(f"--runtime {runtime} needs an .onnx file, but {path} is one of OpenVINO; use openvino")
    file = model_file(path)
    if not file.is_file():
        raise ModelError(f"{file} must be a file that `graft export` wrote, but does not exist; correct the path")
    opener = {"onnxruntime": _with_onnxruntime, "openvino": _with_openvino, "onnxruntime-web": _with_node}[runtime]
    return opener(file)


def model_file(path: Path) -> Path:
    """Return the file of a model: the path itself, or the one in a folder for browsers."""
    return path / MODEL if path.is_dir() else path


def _with_onnxruntime(path: Path) -> ExportedFile:
    onnxruntime = import_onnxruntime()
    name = f"onnxruntime {onnxruntime.__version__}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    with _one_line(path, name):
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (entry,) = session.get_inputs()

    def run(values: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {entry.name: values})[0])

    return ExportedFile(path, name, session.get_modelmeta().custom_metadata_map, run)


def _with_openvino(path: Path) -> ExportedFile:
    core = openvino_core()
    name = f"OpenVINO {importlib.metadata.version('openvino')}"
    with _one_line(path, name):
        model = core.read_model(path)
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    metadata = _noted(model, KEY) | _noted(model, _FRAMEWORK)

    def run(values: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array(compiled(values)[0])

    return ExportedFile(path, name, metadata, run)


def _with_node(path: Path) -> ExportedFile:
    proto = import_onnx().load(path)
    return ExportedFile(path, NAME, {prop.key: prop.value for prop in proto.metadata_props}, NodeSession(path))


def _noted(model: Any, key: str) -> dict[str, str]:
    if not model.has_rt_info(key):
        return {}
    return {name: value.astype(str) for name, value in model.get_rt_info(key).astype(dict).items()}


@contextlib.contextmanager
def _one_line(path: Path, runtime: str) -> Iterator[None]:
    """Turn what a runtime raises into one line: onnxruntime has classes of its own, OpenVINO RuntimeError."""
    try:
        yield
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{path} must be a file that {runtime} can run, but: {lines[-1]}; export it again") from error
