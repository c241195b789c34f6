"""A model leaves graftwork: a file for another runtime, or a page for browsers, proved equal before it is written."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from graftwork.backbones.engines import is_int8
from graftwork.core.arguments import argument
from graftwork.core.figures import percent, points
from graftwork.core.int8 import EQUAL, LOSS, Int8Change
from graftwork.core.options import ExportFormat, ExportInput, Runtime
from graftwork.core.shown import Fact, Shown
from graftwork.errors import BackboneError, ModelError, UsageError
from graftwork.files import whole_files
from graftwork.images.pixels import decode
from graftwork.listener import Listener
from graftwork.model.folder import ModelFolder, Sample, model_folder, read_model, read_samples
from graftwork.model.load import body_card, load_in_float32
from graftwork.model.predict import Model
from graftwork.progress import Stages
from graftwork.runfolder import RUN, read_run
from graftwork.ship.export_facts import ExportFacts, facts_of, metadata_of
from graftwork.ship.export_imports import require_packages
from graftwork.ship.export_pictures import mosaic
from graftwork.ship.export_proof import prove
from graftwork.ship.exported import ExportedFile, model_file, open_exported
from graftwork.ship.forms import form_of, input_of
from graftwork.ship.int8_engine import int8_engine
from graftwork.ship.onnx_int8 import calibration_images, calibration_name, calibration_pixels, quantised_model
from graftwork.ship.onnx_model import fitted_model
from graftwork.ship.parity import LARGEST, Distance, distance
from graftwork.ship.run_images import RunImages
from graftwork.steps.int8 import change_of_model

PROVED_ON = 32
"""Maximum number of images of the run that a file is compared on, beside the samples; spread over all of them."""


@dataclasses.dataclass(frozen=True, repr=False)
class Export(Shown):
    """An exported file and what lies beside it, or a folder for browsers and what is in it."""

    path: Path
    example: Path
    """A script, or a page, that classifies images with it, without graftwork."""
    samples: Path
    """Images, and the probabilities that every runtime must give them."""
    samples_are: str
    """Whose images they are."""
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
            *([] if facts.int8 is None else [Fact("8 bits", facts.int8_in_words)]),
            Fact("proof" if facts.int8 is None else "distance", facts.parity_in_words),
            Fact("licence", f"{facts.licence}; pretrained on {facts.trained_on} ({facts.data_terms})"),
            Fact("example", str(self.example)),
            Fact("samples", f"{self.samples}: {self.samples_are}, to check a runtime with"),
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
    int8: bool = False,
    accept_loss: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Export:
    """Write a model as a file for another runtime, with an example and samples beside it, or as a page for browsers.

    It is compared with the model in float32 on the samples and on images of the run, in many sizes and ratios;
    one that differs is not written.

    Parameters
    ----------
    run
        A run's folder or a model folder.
    to
        ``onnx``, ``openvino`` (an .xml file and the .bin beside it), or ``web`` (a folder for any web server: its page
        classifies images in the visitor's browser, and sends them nowhere).
    output
        The file or folder; None is NAME.onnx, NAME-fixed.onnx, NAME-openvino.xml or NAME-web in RUN/export, or
        NAME-int8.onnx and so on.
        ``NAME-example.py`` and ``NAME-samples`` are written beside a file.
    input
        What the file takes: one decoded ``image`` of any size, or any number of images resized to the network's
        ``fixed`` size. None is ``image`` for ``onnx`` and ``web``, and ``fixed`` for ``openvino``, which cannot resize
        rightly.
    runtime_from
        For ``web``: the package onnxruntime-web as ``npm pack`` writes it. None has npm fetch it, once.
    int8
        Quantise the network to 8 bits, calibrated on the images that the run developed on, which have to be where they
        were. Head and preprocessing stay as they are.
    accept_loss
        Write a file in 8 bits that changes more than 2 % of the decisions, or loses more than one point.
    overwrite
        Replace files that exist.

    Raises
    ------
    ModelError
        When the folder is no model, lacks its weights, or the file would differ from it; when 8 bits change too much.
    DataError
        When a network is to be calibrated on images that are not where they were.
    BackboneError
        When the network holds an operation that the format lacks, or is too large for it.
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
    to = argument("to", to, ExportFormat)
    kind = input_of(to, argument("input", input, ExportInput | None))
    folder = model_folder(run)
    contents = read_model(folder)
    _require_int8_of(run, contents, to, int8=int8, accept_loss=accept_loss)
    form = form_of(Path(run), to, kind, output, runtime_from, int8=int8)
    form.require_place(overwrite=overwrite)
    require_packages(form.runtime)
    stages = Stages(listener)
    facts = facts_of(contents, to, kind)
    with whole_files(form.path) as part:
        with stages.stage("network"):
            form.fetch()
            body = _body(folder, contents)
        if int8:
            with stages.stage("int8"):
                body, change = _in_int8(body, Path(run), contents, folder, form.runtime, stages.listener)
                facts = facts.with_int8(_required_small(change, contents.fitted.engine, accept_loss=accept_loss))
        model = fitted_model(contents.fitted, body, kind)
        with stages.stage("proof"), tempfile.TemporaryDirectory(dir=part) as place:
            reference = load_in_float32(folder)
            samples = _samples(folder, contents, reference)
            unproved = Path(place) / form.path.name
            form.write_model(model, metadata_of(facts), unproved)
            images = [*(sample.data for sample in samples), *_images_of(Path(run))]
            exported = open_exported(unproved, form.runtime)
            facts = facts.with_parity(prove(exported, facts, folder, images, stages.listener))
            if int8:
                samples = tuple(_as_given_by(exported, facts, sample) for sample in samples)
        with stages.stage("writing"):
            form.write_model(model, metadata_of(facts), part / form.path.name)
            size_mb = form.write_rest(part, facts, samples, reference.probabilities)
    return Export(form.path, form.shown, form.samples, form.samples_are, size_mb, facts)


def check_export(file: str | Path, *, runtime: Runtime = "onnxruntime") -> ExportCheck:
    """Compare the samples beside an exported file with what a runtime gives them.

    Parameters
    ----------
    file
        The .onnx or .xml file, or a folder for browsers.
    runtime
        ``onnxruntime``, ``openvino``, or for such a folder ``onnxruntime-web``, its own files run by Node.

    Raises
    ------
    ModelError
        When the runtime reads the file wrongly or not at all, or the samples are not beside it.
    UsageError
        When the runtime is not installed, or reads no files of this kind.

    Examples
    --------
    >>> file = graftwork.export("runs/photos-001", output="checked/photos.onnx").path
    >>> graftwork.check_export(file, runtime="onnxruntime").distance.other_class
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


def _require_int8_of(
    run: str | Path, contents: ModelFolder, to: ExportFormat, *, int8: bool, accept_loss: bool
) -> None:
    if accept_loss and not int8:
        raise UsageError("--accept-loss is about what 8 bits change, but --int8 is missing; add it, or leave this out")
    if is_int8(contents.fitted.engine) and to == "web":
        raise UsageError(
            f"{run} must be a run without --engine int8 for --to web, which was not tried in 8 bits; train with "
            "--engine auto"
        )
    if is_int8(contents.fitted.engine) and not int8:
        raise UsageError(
            f"{run} was trained with --engine int8, so that its head fits codes in 8 bits alone; export it with --int8"
        )


def _in_int8(
    body: Any, run: Path, contents: ModelFolder, folder: Path, runtime: Runtime, listener: Listener
) -> tuple[Any, Int8Change]:
    """The body in 8 bits, and what that changes."""
    record = read_run(run)
    develop = RunImages(record).develop()
    calibration, preprocess = calibration_images(develop), contents.fitted.card.preprocess
    quantised = quantised_model(body, calibration_pixels(calibration, preprocess))
    engine = int8_engine(quantised, runtime, calibration_name(calibration, preprocess))
    change = change_of_model(
        record, contents.fitted, body_card(folder, contents), develop, lambda: engine, engine.name, listener
    )
    return quantised, change


def _images_of(run: Path) -> list[bytes]:
    """Some images of a run; none without one."""
    return RunImages(read_run(run)).some(PROVED_ON) if (run / RUN).is_file() else []


def _required_small(change: Int8Change, engine: str, *, accept_loss: bool) -> Int8Change:
    if not change.small and not accept_loss:
        fits = "`graft train --engine int8` fits a head to 8 bits"
        closer = "--to openvino has the 8 bits that its head was fitted to" if is_int8(engine) else fits
        raise ModelError(
            f"8 bits must leave {percent(EQUAL)} % of the classes and lose at most {points('accuracy', LOSS)}, but "
            f"here they give {change.in_words}; --accept-loss writes the file all the same, and {closer}"
        )
    return change


def _as_given_by(exported: ExportedFile, facts: ExportFacts, sample: Sample) -> Sample:
    """A sample with what a file in 8 bits gives it here: what it must give everywhere."""
    picture = np.asarray(decode(sample.data, facts.preprocess, sample.name))
    return dataclasses.replace(sample, probabilities=exported.probabilities(picture, facts))


def _body(folder: Path, contents: ModelFolder) -> Any:
    """The network of a model folder up to the layers under its head, as ``onnx.ModelProto``."""
    from graftwork.backbones.graph import codes_network
    from graftwork.backbones.load import load
    from graftwork.ship.onnx_body import body_model

    card = dataclasses.replace(body_card(folder, contents), taps=contents.fitted.taps)
    try:
        network = codes_network(load(card), card)
    except BackboneError as error:
        if (folder / "body.safetensors").is_file():
            raise
        raise ModelError(
            f"{folder} must hold the weights of its network, or they must be where they came from, but it was saved "
            f"without (--slim), and {error}"
        ) from error
    return body_model(network, card.preprocess.input_px)


def _samples(folder: Path, contents: ModelFolder, reference: Model) -> tuple[Sample, ...]:
    """The samples of a model folder and a mosaic of them, with the probabilities that they get in float32."""
    if not contents.samples:
        raise ModelError(f"{folder} must hold samples to prove an export with, but has none; train again")
    data = [sample.data for sample in contents.samples]
    names = [sample.name for sample in contents.samples]
    data.append(mosaic(data, contents.fitted.card.preprocess))
    names.append("mosaic.png")
    rows = reference.probabilities(data)
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
