"""What an exported file says about itself, in its metadata: text under text keys, lists and records as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, get_type_hints

import cattrs

import graftwork
from graftwork.core.facts import Preprocess
from graftwork.core.figures import with_interval
from graftwork.core.int8 import Int8Change
from graftwork.core.options import ExportFormat, ExportInput
from graftwork.errors import ModelError
from graftwork.images.pixels import mean_colour, scaled_side
from graftwork.model.folder import ModelFolder
from graftwork.ship.parity import Parity

SCHEMA_VERSION = 1

_RUNS_IN = {
    (
        "onnx",
        "image",
    ): "onnxruntime alone: others, OpenVINO and OpenCV among them, ignore `antialias` of Resize "
    "without a word and see another image; export with --input fixed for these",
    ("onnx", "fixed"): "every runtime that reads ONNX opset 18; images are resized before, as the example beside it "
    "does",
    ("web", "image"): "browsers, from any web server, such as `python -m http.server` in its folder; tried in Chromium "
    "156 and Firefox 153",
    ("openvino", "fixed"): "OpenVINO, with INFERENCE_PRECISION_HINT f32: left free, it computes in bfloat16 on some "
    "processors; images are resized before, as the example beside it does",
}

_IN_INT8: dict[ExportInput, str] = {
    "image": "; fast, and as measured, on processors with VNNI or its like",
    "fixed": "; fast, and as measured, on processors with VNNI or its like; runtimes round 8 bits each in their own "
    "way, and the figures are those of the one that is named in them",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportFacts:
    """The metadata of an exported file."""

    classes: tuple[str, ...]
    """In the order of the probabilities."""
    input: ExportInput
    views: int
    """Views of an image over which codes are averaged."""
    preprocess: Preprocess
    preprocessing: str
    """The same in words."""
    network: str
    layers: tuple[str, ...]
    licence: str
    """Of the pretrained weights."""
    trained_on: str
    """What these were trained on."""
    data_terms: str
    """Terms of the images that these were trained on."""
    chosen: str
    test: str
    """The test score with its interval, in words."""
    test_score: dict[str, Any] | None
    """The same for programs."""
    runs_in: str
    int8: Int8Change | None = None
    """What computing in 8 bits changed; None for a file in float32."""
    int8_in_words: str = ""
    parity: Parity | None = None
    """None until it is proved."""
    parity_in_words: str = ""
    graftwork: str = graftwork.__version__
    schema_version: int = SCHEMA_VERSION

    @property
    def input_in_words(self) -> str:
        """What the file takes."""
        px = self.preprocess.input_px
        if self.input == "image":
            return "one decoded image of any size: (height, width, 3) uint8 RGB"
        by_view = f"{self.views}, " if self.views > 1 else ""
        return f"any number n of images at its size: (n, {by_view}{px}, {px}, 3) uint8 RGB"

    def with_int8(self, change: Int8Change) -> ExportFacts:
        """Return the facts of a file in 8 bits."""
        return dataclasses.replace(
            self, int8=change, int8_in_words=change.in_words, runs_in=f"{self.runs_in}{_IN_INT8[self.input]}"
        )

    def with_parity(self, parity: Parity) -> ExportFacts:
        """Return the facts of a file that was compared."""
        return dataclasses.replace(self, parity=parity, parity_in_words=parity.in_words)


def facts_of(contents: ModelFolder, form: ExportFormat, input: ExportInput) -> ExportFacts:
    """Return what a file made of a model says about itself."""
    fitted, about = contents.fitted, contents.manifest
    test = about.get("test")
    return ExportFacts(
        classes=fitted.head.classes,
        input=input,
        views=fitted.views,
        preprocess=fitted.card.preprocess,
        preprocessing=preprocessing_in_words(fitted.card.preprocess, fitted.views),
        network=fitted.card.name,
        layers=tuple(tap.name for tap in fitted.taps),
        licence=fitted.card.licence,
        trained_on=fitted.card.trained_on,
        data_terms=fitted.card.data_terms,
        chosen=str(about.get("chosen", "unknown")),
        test=_test_in_words(test),
        test_score=test,
        runs_in=_RUNS_IN[form, input],
    )


def preprocessing_in_words(preprocess: Preprocess, views: int = 1) -> str:
    """Return how an image becomes the network's input, as one would tell somebody who writes it again."""
    px, side = preprocess.input_px, scaled_side(preprocess)
    how = f"with Pillow's {preprocess.interpolation} filter, on bytes, columns before rows"
    match preprocess.aspect:
        case "crop":
            size = f"resized {how}, so that its shorter side is {side} px; its centre of {px} x {px} px is taken"
        case "pad":
            size = (
                f"resized {how}, so that its longer side is {px} px; put in the middle of {px} x {px} px of the colour "
                f"{mean_colour(preprocess)}"
            )
        case "stretch":
            size = f"resized {how}, to {px} x {px} px whatever its ratio"
    seen = "" if views == 1 else f"; {views} views of it are taken so, and their codes averaged"
    order = "" if preprocess.channels == "RGB" else ", all in the order BGR"
    mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (preprocess.mean, preprocess.std))
    return (
        f"The image is turned upright, put on white where it is transparent, brought to 8-bit RGB; {size}{seen}; "
        f"divided by 255, minus {mean}, divided by {std}{order}."
    )


def metadata_of(facts: ExportFacts) -> dict[str, str]:
    """Return facts as text: what is no text becomes JSON."""
    plain = cattrs.unstructure(facts)
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in plain.items()
    }


def facts_in(metadata: Mapping[str, str], file: str) -> ExportFacts:
    """Return the facts that a file holds; raises ModelError where they are not graftwork's."""
    version = metadata.get("schema_version")
    if version is None:
        raise ModelError(f"{file} must be a file that `graft export` wrote, but has none of its metadata; export again")
    if version != str(SCHEMA_VERSION):
        raise ModelError(
            f"{file} must have schema version {SCHEMA_VERSION}, but has {version}: another version of graftwork wrote "
            "it; export again"
        )
    text = {name for name, kind in get_type_hints(ExportFacts).items() if kind in (str, ExportInput)}
    try:
        plain = {
            field.name: metadata[field.name] if field.name in text else json.loads(metadata[field.name])
            for field in dataclasses.fields(ExportFacts)
        }
        return cattrs.structure(plain, ExportFacts)
    except (KeyError, ValueError, TypeError, cattrs.BaseValidationError) as error:
        why = " ".join(str(error).split())
        raise ModelError(
            f"{file} must hold the metadata of an export, but reading them failed ({why}); export again"
        ) from error


def _test_in_words(test: Mapping[str, Any] | None) -> str:
    if test is None:
        return "not tested"
    score = with_interval(test["metric"], test["value"], test["low"], test["high"])
    return f"{test['metric']} {score} on {test['images']} images, {test['how']}, of {test['belongs_to']}"
