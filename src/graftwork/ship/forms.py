"""The forms in which a model leaves: one file with an example and samples beside it, or a folder for browsers.

What differs between them is here; ``verbs/export.py`` goes the same way for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graftwork.core.options import ExportFormat, ExportInput, Runtime
from graftwork.errors import UsageError
from graftwork.files import write_text
from graftwork.model.folder import Sample, sample_files, write_samples
from graftwork.ship.example import example
from graftwork.ship.export_facts import ExportFacts
from graftwork.ship.onnx_model import write_onnx
from graftwork.ship.openvino_model import write_openvino
from graftwork.ship.web_folder import PAGE, SAMPLES, require_own_folder, write_web_model, write_web_page
from graftwork.ship.web_node import node
from graftwork.ship.web_runtime import WebRuntime, web_runtime
from graftwork.ship.web_samples import web_samples

_SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "openvino": ".xml", "web": ""}
_INPUTS: dict[ExportFormat, tuple[ExportInput, ...]] = {
    "onnx": ("image", "fixed"),
    "openvino": ("fixed",),
    "web": ("image",),
}
"""The first one is the default."""
_WHY_NO_OTHER: dict[ExportFormat, str] = {
    "openvino": "OpenVINO does not resize as the model needs it; leave it out, and resize as the example does",
    "web": "the page leaves resizing to the model; leave it out",
}


class Probabilities(Protocol):
    """The model in float32: files to (n, k)."""

    def __call__(self, images: Sequence[bytes], /) -> NDArray[np.float32]: ...  # noqa: D102


class Form(Protocol):
    """How an export is written, and where its parts are."""

    path: Path
    """What is asked for."""
    shown: Path
    """What classifies images with it, without graftwork: a script or a page."""
    samples: Path
    samples_are: str
    runtime: Runtime
    """By which it is proved."""

    def require_place(self, *, overwrite: bool) -> None:
        """Raise UsageError where something is there that must not be replaced."""

    def fetch(self) -> None:
        """Make sure of what comes from elsewhere, before anything is computed."""

    def write_model(self, model: Any, metadata: Mapping[str, str], path: Path) -> None:
        """Write an ``onnx.ModelProto`` so that ``open_exported`` opens it."""

    def write_rest(
        self, part: Path, facts: ExportFacts, samples: Sequence[Sample], probabilities: Probabilities
    ) -> float:
        """Write all else that belongs to a model in ``part``; return the megabytes of what a runtime loads."""


class FileForm:
    """One file of ONNX or of OpenVINO; beside it a script and the samples of the model folder."""

    samples_are = "images that it was trained on"

    def __init__(self, to: ExportFormat, path: Path) -> None:
        self.to, self.path = to, path
        self.shown = path.with_name(f"{path.stem}-example.py")
        self.samples = path.with_name(f"{path.stem}-samples")
        self.runtime: Runtime = "openvino" if to == "openvino" else "onnxruntime"

    def require_place(self, *, overwrite: bool) -> None:
        """Raise UsageError where a file exists that may not be replaced, or a folder that no export wrote."""
        _require_new((self.path, self.shown, self.samples), overwrite=overwrite)
        require_own_folder(self.samples, sample_files(self.samples))

    def fetch(self) -> None:
        """Nothing comes from elsewhere."""

    def write_model(self, model: Any, metadata: Mapping[str, str], path: Path) -> None:
        """Write the file, with its metadata."""
        (write_openvino if self.to == "openvino" else write_onnx)(model, metadata, path)

    def write_rest(
        self, part: Path, facts: ExportFacts, samples: Sequence[Sample], probabilities: Probabilities
    ) -> float:
        """Write the script and the samples."""
        names = {"file": self.path.name, "script": self.shown.name, "samples": self.samples.name}
        write_text(part / self.shown.name, example(facts, self.to, **names))
        write_samples(part / self.samples.name, samples)
        return sum(path.stat().st_size for path in part.glob(f"{self.path.stem}.*")) / 1e6


class WebForm:
    """A folder with the ONNX file, what runs it in a browser, a page, and samples that are nobody's images.

    Parameters
    ----------
    name
        Of the model, for people.
    archive
        Of the runtime; None has npm fetch it.
    """

    samples_are = "pictures drawn for it"

    def __init__(self, path: Path, name: str, archive: Path | None) -> None:
        self.path, self._name, self._archive = path, name, archive
        self.shown, self.samples = path / PAGE, path / SAMPLES
        self.runtime: Runtime = "onnxruntime" if node() is None else "onnxruntime-web"
        self._runtime: WebRuntime | None = None

    def require_place(self, *, overwrite: bool) -> None:
        """Raise UsageError where the folder exists, unless it holds nothing but an earlier export."""
        _require_new((self.path,), overwrite=overwrite)
        require_own_folder(self.path)

    def fetch(self) -> None:
        """Have the runtime at hand; raises UsageError where it cannot be had."""
        self._runtime = web_runtime(self._archive)

    def write_model(self, model: Any, metadata: Mapping[str, str], path: Path) -> None:
        """Write the folder, with the model and its runtime."""
        assert self._runtime is not None
        write_web_model(model, metadata, path, self._runtime)

    def write_rest(
        self, part: Path, facts: ExportFacts, samples: Sequence[Sample], probabilities: Probabilities
    ) -> float:
        """Write the page, with samples drawn for it: who publishes the folder publishes no training image."""
        drawn = web_samples(probabilities, facts.preprocess.input_px)
        return write_web_page(part / self.path.name, self._name, facts, drawn)


def form_of(
    run: Path,
    to: ExportFormat,
    input: ExportInput,
    output: str | Path | None,
    runtime_from: str | Path | None,
    *,
    int8: bool,
) -> Form:
    """Return the form of an export; raises UsageError where the options do not fit together.

    Parameters
    ----------
    output
        None is a name made of the run's, in its folder ``export``.
    """
    if runtime_from is not None and to != "web":
        raise UsageError(f"--runtime-from is what runs a page, and must come with --to web, got {to}; leave it out")
    if int8 and to == "web":
        raise UsageError("--int8 is for --to onnx and openvino, got web, which was not tried in 8 bits; leave it out")
    path = _path(run, to, input, output, int8=int8)
    if to == "web":
        return WebForm(path, run.resolve().name, None if runtime_from is None else Path(runtime_from))
    return FileForm(to, path)


def input_of(to: ExportFormat, chosen: ExportInput | None) -> ExportInput:
    """Return what an export takes; raises UsageError where its format cannot take what was chosen."""
    kinds = _INPUTS[to]
    if chosen is not None and chosen not in kinds:
        raise UsageError(f"--input must be {' or '.join(kinds)} with --to {to}, got {chosen}: {_WHY_NO_OTHER[to]}")
    return chosen or kinds[0]


def _path(run: Path, to: ExportFormat, input: ExportInput, output: str | Path | None, *, int8: bool) -> Path:
    suffix = _SUFFIXES[to]
    if output is None:
        which = {("onnx", "image"): "", ("onnx", "fixed"): "-fixed"}.get((to, input), f"-{to}")
        return run / "export" / f"{run.resolve().name}{'-int8' if int8 else ''}{which}{suffix}"
    path = Path(output)
    if suffix and path.suffix != suffix:
        raise UsageError(f"-o must end in {suffix} with --to {to}, got {path.name}; name the file so")
    return path


def _require_new(paths: Sequence[Path], *, overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise UsageError(f"an export writes new files, but {path} exists; give another -o, or --overwrite")
