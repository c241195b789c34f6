"""A model leaves graftwork: one file for another runtime, proved equal, with an example and samples beside it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graftwork.core.arguments import argument
from graftwork.core.options import ExportFormat, ExportInput, Runtime
from graftwork.core.shown import Fact, Shown
from graftwork.errors import BackboneError, ModelError, UsageError
from graftwork.files import whole_files, write_text
from graftwork.images.pixels import decode
from graftwork.listener import Listener
from graftwork.model.folder import ModelFolder, Sample, model_folder, read_model, read_samples, write_samples
from graftwork.model.load import body_card, load_in_float32
from graftwork.progress import Stages
from graftwork.ship.example import example
from graftwork.ship.export_facts import ExportFacts, facts_of, metadata_of
from graftwork.ship.export_imports import require_packages
from graftwork.ship.export_pictures import images_of_run, mosaic
from graftwork.ship.export_proof import prove
from graftwork.ship.exported import model_file, open_exported
from graftwork.ship.onnx_model import write_onnx
from graftwork.ship.openvino_model import write_openvino
from graftwork.ship.parity import LARGEST, Distance, distance
from graftwork.ship.web_folder import PAGE, SAMPLES, require_own_folder, write_web_model, write_web_page
from graftwork.ship.web_node import node
from graftwork.ship.web_runtime import web_runtime
from graftwork.ship.web_samples import web_samples

if TYPE_CHECKING:
    from graftwork.backbones.graph import CodesNetwork

_SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "openvino": ".xml", "web": ""}
_RUNTIMES: dict[ExportFormat, Runtime] = {"onnx": "onnxruntime", "openvino": "openvino", "web": "onnxruntime-web"}
_WRITERS: dict[ExportFormat, Callable[..., None]] = {
    "onnx": write_onnx,
    "openvino": write_openvino,
    "web": write_web_model,
}
_INPUTS: dict[ExportFormat, tuple[ExportInput, ...]] = {
    "onnx": ("image", "fixed"),
    "openvino": ("fixed",),
    "web": ("image",),
}
"""The first one is the default."""
_SAMPLES_ARE: dict[ExportFormat, str] = {
    "onnx": "images that it was trained on",
    "openvino": "images that it was trained on",
    "web": "pictures drawn for it",
}
_WHY_NO_OTHER: dict[ExportFormat, str] = {
    "openvino": "OpenVINO does not resize as the model needs it; leave it out, and resize as the example beside it does",
    "web": "the page leaves resizing to the model; leave it out",
}


@dataclasses.dataclass(frozen=True, repr=False)
class Export(Shown):
    """An exported file and what lies beside it, or a folder for browsers and what is in it."""

    to: ExportFormat
    path: Path
    example: Path
    """A script, or a page, that classifies images with it, without graftwork."""
    samples: Path
    """Images, and the probabilities that every runtime must give them."""
    size_mb: float
    """Megabytes (10^6 bytes) of what a runtime or a browser loads."""
    facts: ExportFacts
    """Its metadata."""

    def _facts(self) -> tuple[Fact, ...]:
        facts = self.facts
        return (
            Fact("", str(self.path)),
            Fact("size", f"{self.size_mb:.1f} MB"),
            Fact("takes", facts.input_in_words),
            Fact("runs in", facts.runs_in),
            Fact("proof", facts.parity_in_words),
            Fact("licence", f"{facts.licence}; pretrained on {facts.trained_on} ({facts.data_terms})"),
            Fact("page" if self.to == "web" else "example", str(self.example)),
            Fact("samples", f"{self.samples}: {_SAMPLES_ARE[self.to]}, to check a runtime with"),
        )


@dataclasses.dataclass(frozen=True, repr=False)
class ExportCheck(Shown):
    """The samples of an exported file, to which a runtime gave the probabilities that they must get."""

    path: Path
    runtime: str
    """Its name and version."""
    samples: int
    distance: Distance

    def _facts(self) -> tuple[Fact, ...]:
        return Fact("", str(self.path)), Fact(self.runtime, f"{self.samples} samples, {self.distance.in_words}")


def export(
    run: str | Path,
    *,
    to: ExportFormat = "onnx",
    output: str | Path | None = None,
    input: ExportInput | None = None,
    runtime_from: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Export:
    """Write a model as one file for another runtime, with an example and samples beside it, or as a page for browsers.

    The file is compared with the model in float32 on the samples and on images of the run, in many sizes and ratios;
    one that differs is not written.

    Parameters
    ----------
    run
        A run's folder or a model folder.
    to
        ``onnx``, ``openvino`` (an .xml file and the .bin beside it), or ``web`` (a folder that any web server serves:
        its page classifies images in the browser, and sends them nowhere).
    output
        The file or folder; None is NAME.onnx, NAME-fixed.onnx, NAME-openvino.xml or NAME-web in RUN/export.
        ``NAME-example.py`` and ``NAME-samples`` are written beside a file.
    input
        What the file takes: one decoded ``image`` of any size, or any number of images resized to the network's
        ``fixed`` size. None is ``image`` for ``onnx`` and ``web``, and ``fixed`` for ``openvino``, which cannot resize
        rightly.
    runtime_from
        For ``web``: the package onnxruntime-web as ``npm pack`` writes it. None has npm fetch it, once.
    overwrite
        Replace files that exist.

    Raises
    ------
    ModelError
        When the folder is no model, lacks its weights, or the file would differ from it.
    BackboneError
        When the network holds an operation that the format lacks.
    UsageError
        When a package is missing, the arguments do not fit together, or a file exists.
    StorageError
        When a file cannot be written; nothing is there then.

    Examples
    --------
    >>> exported = export("runs/photos-001", output="photos.onnx")
    >>> exported.path.name, exported.example.name, exported.facts.classes
    ('photos.onnx', 'photos-example.py', ('ant', 'bee', 'cat'))
    """
    form = argument("to", to, ExportFormat)
    kind = _input(form, argument("input", input, ExportInput | None))
    if runtime_from is not None and form != "web":
        raise UsageError(f"--runtime-from is what runs a page, and must come with --to web, got {form}; leave it out")
    folder = model_folder(run)
    contents = read_model(folder)
    target = _target(Path(run), form, kind, output)
    shown, samples_at = _beside(target) if form != "web" else (target / PAGE, target / SAMPLES)
    _require_new([target, shown, samples_at], overwrite=overwrite)
    if form == "web":
        require_own_folder(target)
    runtime = _runtime(form)
    require_packages(runtime)
    stages = Stages(listener)
    write = _WRITERS[form]
    if form == "web":
        with stages.stage("runtime"):
            write = partial(write, runtime=web_runtime(None if runtime_from is None else Path(runtime_from)))
    facts = facts_of(contents, form, kind)
    with whole_files(target) as part:
        with stages.stage("network"):
            from graftwork.ship.onnx_model import fitted_model

            model = fitted_model(contents.fitted, _network(folder, contents), kind)
        with stages.stage("proof"), tempfile.TemporaryDirectory(dir=part) as place:
            samples = _samples(folder, contents)
            unproved = Path(place) / target.name
            write(model, metadata_of(facts), unproved)
            images = [*(sample.data for sample in samples), *images_of_run(Path(run))]
            parity = prove(open_exported(unproved, runtime), facts, folder, images, stages.listener)
        with stages.stage("writing"):
            facts = facts.with_parity(parity)
            write(model, metadata_of(facts), part / target.name)
            if form == "web":
                samples = web_samples(load_in_float32(folder).probabilities, facts.preprocess.input_px)
                size_mb = write_web_page(part / target.name, Path(run).resolve().name, facts, samples)
            else:
                names = {"file": target.name, "script": shown.name, "samples": samples_at.name}
                write_text(part / shown.name, example(facts, form, **names))
                write_samples(part / samples_at.name, samples)
                size_mb = sum(path.stat().st_size for path in part.glob(f"{target.stem}.*")) / 1e6
    return Export(form, target, shown, samples_at, size_mb, facts)


def check_export(file: str | Path, *, runtime: Runtime = "onnxruntime") -> ExportCheck:
    """Compare the samples beside an exported file with what a runtime gives them.

    Parameters
    ----------
    file
        The .onnx or .xml file, or a folder for browsers.
    runtime
        ``onnxruntime``, ``openvino``, or ``onnxruntime-web`` for such a folder: run by Node, with the page's own files.

    Raises
    ------
    ModelError
        When the runtime reads the file wrongly or not at all, or the samples are not beside it.
    UsageError
        When the runtime is not installed, or reads no files of this kind.

    Examples
    --------
    >>> file = export("runs/photos-001", output="checked/photos.onnx").path
    >>> check_export(file, runtime="onnxruntime").distance.other_class
    0
    """
    path = model_file(Path(file))
    exported = open_exported(path, argument("runtime", runtime, Runtime))
    facts = exported.facts
    samples = _read_samples(path.with_name(f"{path.stem}-samples"))
    pictures = (np.asarray(decode(sample.data, facts.preprocess, sample.name)) for sample in samples)
    rows = np.stack([exported.probabilities(picture, facts) for picture in pictures])
    gap = distance(rows, np.stack([sample.probabilities for sample in samples]))
    if gap.largest > LARGEST or gap.other_class:
        raise ModelError(
            f"{path} must give its samples the probabilities in {path.stem}-samples, but {exported.runtime} reads it "
            f"wrongly: {gap.in_words}; it is for {facts.runs_in}"
        )
    return ExportCheck(path, exported.runtime, len(samples), gap)


def _input(form: ExportFormat, chosen: ExportInput | None) -> ExportInput:
    kinds = _INPUTS[form]
    if chosen is not None and chosen not in kinds:
        raise UsageError(f"--input must be {' or '.join(kinds)} with --to {form}, got {chosen}: {_WHY_NO_OTHER[form]}")
    return chosen or kinds[0]


def _target(run: Path, form: ExportFormat, kind: ExportInput, output: str | Path | None) -> Path:
    suffix = _SUFFIXES[form]
    if output is None:
        which = "" if (form, kind) == ("onnx", "image") else "-fixed" if form == "onnx" else f"-{form}"
        return run / "export" / f"{run.resolve().name}{which}{suffix}"
    target = Path(output)
    if suffix and target.suffix != suffix:
        raise UsageError(f"-o must end in {suffix} with --to {form}, got {target.name}; name the file so")
    return target


def _beside(file: Path) -> tuple[Path, Path]:
    """Where the example and the samples of an exported file are."""
    return file.with_name(f"{file.stem}-example.py"), file.with_name(f"{file.stem}-samples")


def _runtime(form: ExportFormat) -> Runtime:
    """What proves an export: where Node is missing, the runtime that a page's is made from."""
    runtime = _RUNTIMES[form]
    return "onnxruntime" if runtime == "onnxruntime-web" and node() is None else runtime


def _require_new(paths: Sequence[Path], *, overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise UsageError(f"an export writes new files, but {path} exists; give another -o, or --overwrite")


def _network(folder: Path, contents: ModelFolder) -> CodesNetwork:
    """The network of a model folder, with the layers under its head."""
    from graftwork.backbones.graph import codes_network
    from graftwork.backbones.load import load

    card = dataclasses.replace(body_card(folder, contents), taps=contents.fitted.taps)
    try:
        return codes_network(load(card), card)
    except BackboneError as error:
        if (folder / "body.safetensors").is_file():
            raise
        raise ModelError(
            f"{folder} must hold the weights of its network, or they must be where they came from, but it was saved "
            f"without (--slim), and {error}"
        ) from error


def _samples(folder: Path, contents: ModelFolder) -> tuple[Sample, ...]:
    """The samples of a model folder and a mosaic of them, with the probabilities that they get in float32."""
    if not contents.samples:
        raise ModelError(f"{folder} must hold samples to prove an export with, but has none; train again")
    data = [sample.data for sample in contents.samples]
    names = [sample.name for sample in contents.samples]
    data.append(mosaic(data, contents.fitted.card.preprocess))
    names.append("mosaic.png")
    rows = load_in_float32(folder).probabilities(data)
    return tuple(Sample(*sample) for sample in zip(names, data, rows, strict=True))


def _read_samples(folder: Path) -> tuple[Sample, ...]:
    try:
        samples = read_samples(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{folder} must hold the samples that were exported with the file, but: {' '.join(str(error).split())}; "
            "copy it too, or export again"
        ) from error
    if not samples:
        raise ModelError(f"{folder} must hold samples, but has none; export again")
    return samples
