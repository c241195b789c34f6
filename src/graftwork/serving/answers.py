"""What the service says, as JSON: the records that its OpenAPI page describes."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Class:
    """A class and how probable it is."""

    label: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A training image near to the one that was sent."""

    label: str
    similarity: float
    """Cosine of the two images' codes; 1 for the same image."""
    thumbnail: str | None
    """As a ``data:`` address; None where none is at hand."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the model says of one image."""

    name: str
    label: str
    """The most probable class."""
    probability: float
    top: list[Class]
    """The most probable classes, best first."""
    p_value: float | None
    """Share of the training images that are at least as far from the others as this image; None where they were too
    few."""
    novel: bool | None
    """Whether the image is flagged as unlike the training images; None where these were too few."""
    nearest: list[Neighbour]
    """Training images, the nearest first; empty unless they were asked for."""
    evidence: str | None
    """A picture of where in the image the evidence for its class is, as a ``data:`` address; None unless it was asked
    for."""


@dataclasses.dataclass(frozen=True)
class Refused:
    """Why an image got no prediction."""

    name: str
    status: int
    """The status of HTTP that fits it."""
    error: str


@dataclasses.dataclass(frozen=True)
class Answers:
    """One entry for each image, in the order in which they were sent."""

    images: list[Answer | Refused]


@dataclasses.dataclass(frozen=True)
class Problem:
    """Why a request got no answer."""

    error: str


@dataclasses.dataclass(frozen=True)
class Health:
    """Whether the service answers, and whether its model is still the one in its folder."""

    status: str
    """``ok``, or ``stopping`` while it answers what it has."""
    folder: str
    """``unchanged``, ``changed`` or ``gone`` since the model was loaded."""
    advice: str
    """What to do about a folder that changed; empty where there is nothing to do."""


@dataclasses.dataclass(frozen=True)
class TestFigures:
    """The score of the model on images that no choice and no weight depended on."""

    metric: str
    value: float
    low: float | None
    """End of the 95 % interval; None where there is none."""
    high: float | None
    images: int
    how: str
    belongs_to: str
    """``this model``, or the one before it was fitted again on every image."""


@dataclasses.dataclass(frozen=True)
class About:
    """What is served, and what it takes."""

    name: str
    version: str
    """Of graftwork, which serves it."""
    trained_with: str
    """Version of graftwork that wrote the model."""
    created: str
    classes: list[str]
    network: str
    layers: list[str]
    engine: str
    licence: str
    """Of the network's pretrained weights."""
    data_terms: str
    """Of the data that they were trained on."""
    test: TestFigures | None
    """None where nothing was tested."""
    novelty: bool
    """Whether images unlike the training images are flagged."""
    shows_training_images: bool
    explains: bool
    """Whether it draws where the evidence is."""
    max_upload_mb: float
    max_megapixels: float
    formats: str
