"""A folder that any web server serves: a page that classifies dropped images in the visitor's browser."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from graftwork.errors import BackboneError, UsageError
from graftwork.files import write_text
from graftwork.model.folder import Sample, write_samples
from graftwork.reporting.document import packaged, script_policy
from graftwork.reporting.plain import plain_page
from graftwork.ship.export_facts import ExportFacts
from graftwork.ship.onnx_model import write_onnx
from graftwork.ship.parity import LARGEST, MARGIN
from graftwork.ship.web_runtime import BINARY, LICENCES, PACKAGE, SCRIPT, VERSION, WebRuntime

MODEL = "model.onnx"
PAGE = "index.html"
SAMPLES = "model-samples"
_WORKER = "classify.js"
_WRITTEN = {MODEL, PAGE, SAMPLES, _WORKER, SCRIPT, BINARY, *LICENCES}
_LARGEST_MB = 1000
_LOSSY_MARGIN = 0.05
"""As ``parity.MARGIN``, for JPEG: decoders may differ by a few grey levels."""


def write_web_model(model: Any, metadata: Mapping[str, str], folder: Path, runtime: WebRuntime) -> None:
    """Write an ``onnx.ModelProto`` that takes an image of any size, and what runs it, into a new folder.

    Raises
    ------
    BackboneError
        When the model is larger than a browser can load.
    """
    size_mb = model.ByteSize() / 1e6
    if size_mb > _LARGEST_MB:
        raise BackboneError(
            f"a model for a browser must be below {_LARGEST_MB:,} MB, but this one has {size_mb:,.0f}; use a smaller "
            "--backbone, or --to onnx"
        )
    folder.mkdir()
    write_onnx(model, metadata, folder / MODEL)
    for name, data in runtime.files.items():
        (folder / name).write_bytes(data)


def write_web_page(folder: Path, name: str, facts: ExportFacts, samples: Sequence[Sample]) -> float:
    """Write the page, its worker and the samples beside a model; return the megabytes that a visitor loads.

    Parameters
    ----------
    name
        Of the model, for people.
    """
    files = {"model": _listed(folder / MODEL), "binary": _listed(folder / BINARY)}
    size = sum(file["bytes"] for file in files.values())
    size_mb = size / 1e6
    data = {
        "classes": facts.classes,
        "intensity": facts.preprocess.intensity,
        "files": files,
        "bytes": size,
        "size": f"{size_mb:.1f} MB",
        "worker": _WORKER,
        "samples": SAMPLES,
        "largest": LARGEST,
        "margin": MARGIN,
        "lossyMargin": _LOSSY_MARGIN,
    }
    scripts = [packaged("drop.js"), packaged("web_page.js", "graftwork.ship")]
    page = plain_page(
        "graftwork.ship",
        "web.html.jinja",
        scripts,
        policy=f"{script_policy(scripts)}; worker-src 'self'; connect-src 'self'; img-src blob: data:",
        name=name,
        facts=facts,
        data=data,
        size=data["size"],
        count=len(samples),
        runtime=f"{PACKAGE} {VERSION}",
        licences=list(LICENCES),
    )
    write_text(folder / PAGE, page)
    write_text(folder / _WORKER, packaged("web_worker.js", "graftwork.ship") + "\n")
    write_samples(folder / SAMPLES, samples)
    return float(size_mb)


def require_own_folder(folder: Path, written: Collection[str] = _WRITTEN) -> None:
    """Raise UsageError where what is to be replaced is not a folder that an export wrote, with nothing else in it.

    Parameters
    ----------
    written
        Names of the files that an export writes there.
    """
    if not folder.exists():
        return
    foreign = [folder.name]
    if folder.is_dir():
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in written)
    if foreign:
        raise UsageError(
            f"--overwrite must replace a folder that `graft export` wrote, but {folder} holds {foreign[0]}; give "
            "another -o"
        )


def _listed(file: Path) -> dict[str, Any]:
    return {"name": file.name, "bytes": file.stat().st_size}
