"""Facts: what was measured or is known, before anything is advised or intended; and the words they are told in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, Literal

Metric = Literal["accuracy", "balanced-accuracy", "macro-f1", "log-loss"]
Pool = Literal["average", "max"]
"""How a layer with a spatial extent becomes one vector."""
Aspect = Literal["crop", "pad", "stretch"]
Intensity = Literal["dataset", "dtype", "image"]
Interpolation = Literal["bicubic", "bilinear"]
Relu = Literal["auto", "before", "after"]
Dtype = Literal["float16", "float32"]
"""Precision of codes on disk."""
BatchnormStatistics = Literal["source", "remeasured", "identity", "none", "unknown"]


def digest_of(record: Any) -> str:
    """16 hexadecimal digits that name the content of a JSON-able value or a dataclass."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        record = dataclasses.asdict(record)
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How an image becomes the network's input; part of the card and of the model folder.

    An image is decoded as a person would see it, brought to RGB, scaled so that the crop of
    ``input_px / crop_fraction`` fits, cropped (or padded, or stretched) to ``input_px`` squared, divided by
    255, and normalised per channel.
    """

    input_px: int = 224
    crop_fraction: float = 0.875
    aspect: Aspect = "crop"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    channels: Literal["RGB", "BGR"] = "RGB"
    intensity: Intensity = "dataset"
    intensity_range: tuple[float, float] | None = None
    """For images of more than 8 bits: the values that become 0 and 255, one pair per data set."""


@dataclasses.dataclass(frozen=True)
class Tap:
    """A named point of a network at which codes are taken; users see it as a *layer*."""

    name: str
    """Dotted path of the module whose output is taken, as ``named_modules`` prints it; ``pooled`` for the input of
    the network's own classifier."""
    depth: float
    """Share of the forward pass below this point, 0 to 1; taps are listed by rising depth."""
    channels: int
    """Length of the code."""
    pool: Literal["average", "max", "token", "none"] = "average"
    relu: bool = False
    """True where the network thresholds this point in training, so that no code is negative."""
    extra: bool = False
    """True where a user named it and the network's own list has it not: codes, but no place to cut the network."""
    at: str | None = None
    """The layer, where the tap has another name: one forward pass can give the codes of a layer and its whole map."""

    @property
    def layer(self) -> str:
        """The layer that is read."""
        return self.at or self.name


@dataclasses.dataclass(frozen=True)
class BackboneCard:
    """A pretrained network as data: where its weights are, what they are, and its preprocessing."""

    name: str
    """``source:architecture.tag``, for example ``timm:resnet50.a1_in1k`` or ``file:net.safetensors``."""
    source: Literal["package", "timm", "torchvision", "file"]
    architecture: str
    weights: str
    """A package's file, a hub's repository, or a path, according to ``source``."""
    preprocess: Preprocess
    taps: tuple[Tap, ...] = ()
    model_args: dict[str, Any] = dataclasses.field(default_factory=dict)
    weights_sha256: str | None = None
    licence: str = "unknown"
    data_terms: str = "unknown"
    trained_on: str = "unknown"
    params_millions: float | None = None
    gmacs: float | None = None
    """Billions of multiply-accumulates of one image at ``preprocess.input_px``."""
    batchnorm_statistics: BatchnormStatistics = "unknown"
    """``identity`` (mean 0, variance 1, as converters leave them): right as it is, useless once trained further."""
    top1_on_photos: float | None = None
    """Top-1 accuracy on the 1,000 photos (one of each ImageNet class); guards preprocessing."""

    @property
    def library(self) -> Literal["timm", "torchvision", "caffe"]:
        """What builds its architecture: the word before its colon; timm where it names none."""
        match self.architecture.partition(":")[0]:
            case "torchvision":
                return "torchvision"
            case "caffe":
                return "caffe"
            case _:
                return "timm"


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """Counts that describe a set of images; nothing here depends on a test image."""

    images: int
    classes: tuple[str, ...]
    per_class: tuple[int, ...]
    groups: int | None
    median_width_px: int
    median_height_px: int
    formats: dict[str, int] = dataclasses.field(default_factory=dict)
    modes: dict[str, int] = dataclasses.field(default_factory=dict)
