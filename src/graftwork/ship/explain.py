"""Why a model predicts what it predicts: where in an image the evidence is, and the nearest training images."""

from __future__ import annotations

import base64
import dataclasses
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftwork.core.figures import probability
from graftwork.core.fitted import probabilities
from graftwork.core.shown import Fact, Shown
from graftwork.errors import BackboneError, ModelError, UsageError, did_you_mean
from graftwork.images.pixels import Placement, laid_back, placement, prepared, seen
from graftwork.images.views import views
from graftwork.model.folder import BODY, model_folder, read_model
from graftwork.model.load import body_card, load
from graftwork.model.predict import Model
from graftwork.ship.attribution import Attribution, over_the_others
from graftwork.ship.overlay import overlay, png_of, side_by_side
from graftwork.ship.training_images import NearestImages, TrainingImage, nearest_images

PICTURE_PX = 480
"""Longer side of the pictures that are drawn; the map itself has the image's own size."""


@dataclasses.dataclass(frozen=True, eq=False)
class ViewEvidence:
    """Where one view of an image has evidence for a class."""

    values: NDArray[np.float32]
    """(px, px) of the network's input; positive for the class, negative against it."""
    place: Placement
    """Where the input is in the image."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation(Shown):
    """Why a model predicts a class for one image."""

    name: str
    label: str
    """The most probable class, as ``predict`` gives it."""
    probability: float
    for_class: str
    """The class whose evidence is shown."""
    for_class_probability: float
    nearest: tuple[TrainingImage, ...]
    """Training images with the most similar codes, the nearest first; empty where they are not known."""
    width_px: int
    height_px: int
    """Of the image, turned upright."""
    picture: NDArray[np.uint8]
    """(h, w, 3) the image, its longer side at most 480 pixels."""
    evidence: tuple[ViewEvidence, ...]
    """Of each view that the model averages."""
    actual: str | None = None
    """The true class, where the run of the model knows it."""

    @property
    def map(self) -> NDArray[np.float32]:
        """(h, w) evidence for the class at each pixel of the upright image, from 0 to 1.

        1 is the most evidence in this image (so maps of two images cannot be compared), 0 is none or evidence against
        the class, and NaN is where the network does not see the image. All are 0 where no place speaks for the class.
        """
        return self._map((self.width_px, self.height_px))

    @property
    def overlay(self) -> NDArray[np.uint8]:
        """(h, w, 3) picture with the map over it."""
        return overlay(self.picture, self._map(self._picture_size))

    def png(self) -> bytes:
        """Return a picture of the image beside its map, with the class and its probability below, as a PNG file."""
        sheet = side_by_side(self.picture, self._map(self._picture_size), self.caption)
        return png_of(sheet)

    @property
    def caption(self) -> str:
        """The class that is explained and its probability."""
        return f"{self.for_class}: {probability(self.for_class_probability)}"

    @property
    def _picture_size(self) -> tuple[int, int]:
        height, width = self.picture.shape[:2]
        return width, height

    def _map(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """(h, w) map of a copy of the image of this width and height."""
        image = (self.width_px, self.height_px)
        total = np.zeros(size[::-1], np.float32)
        visible = np.zeros(size[::-1], bool)
        for one in self.evidence:
            left, top, right, bottom = one.place.box
            # a small view has its evidence in a small part of the image
            density = image[0] * image[1] / ((right - left) * (bottom - top) * len(self.evidence))
            laid = laid_back(one.values, one.place, image, size)
            visible |= ~np.isnan(laid)
            total += density * np.nan_to_num(laid)
        positive = np.maximum(total, 0)
        most = positive.max()
        return np.where(visible, positive / most if most > 0 else positive, np.float32(np.nan))

    def _facts(self) -> tuple[Fact, ...]:
        facts = [Fact("", self.name), Fact(self.label, probability(self.probability), self.probability)]
        if self.for_class != self.label:
            facts.append(Fact("evidence for", self.caption))
        if self.actual is not None:
            facts.append(Fact("true class", self.actual))
        near = [f"{image.label} {image.name} ({image.similarity:.2f})" for image in self.nearest]
        return (*facts, *([Fact("nearest training images", ", ".join(near))] if near else []))

    def _repr_html_(self) -> str:
        """In a notebook: the facts, and the image beside its map."""
        data = base64.b64encode(self.png()).decode()
        return f'{super()._repr_html_()}<img alt="the image, and its evidence" src="data:image/png;base64,{data}">'


class Explainer:
    """Explains the predictions of a model; opened once, it takes one image after the other, from several threads.

    Parameters
    ----------
    folder
        A run's folder or a model folder.
    model
        The one that was loaded from it, where one was.

    Raises
    ------
    ModelError
        When the folder is no model, or its network's weights are not at hand.
    BackboneError
        When a layer under the classifier has no positions of the image at or below it.
    """

    def __init__(self, folder: str | Path, model: Model | None = None) -> None:
        place = model_folder(Path(folder))
        contents = read_model(place)
        self.model = load(folder) if model is None else model
        fitted = self.model.fitted
        card = dataclasses.replace(body_card(place, contents), taps=fitted.taps)
        try:
            self._attribution = Attribution(card, fitted.head)
        except BackboneError as error:
            if (place / BODY).is_file():
                raise
            raise ModelError(
                f"{folder} was trained with --slim: to be explained, its network must be where it was, but {error}"
            ) from error
        near = nearest_images(Path(folder), self.model.novelty)
        self._nearest: NearestImages | None = None if isinstance(near, str) else near
        self.notes: tuple[str, ...] = (near,) if isinstance(near, str) else ()
        """What explanations of this model lack, and why."""
        self._running = threading.Lock()

    @property
    def exact(self) -> bool:
        """Whether the evidence of all places adds up to the margin of the class."""
        return self._attribution.exact

    def explain(
        self,
        data: bytes,
        name: str = "the image",
        *,
        for_class: str | None = None,
        nearest: int = 3,
        actual: str | None = None,
    ) -> Explanation:
        """Explain the prediction for one image.

        Parameters
        ----------
        data
            The bytes of an image file.
        for_class
            The class whose evidence is shown; the most probable one unless given.
        nearest
            Number of training images.
        actual
            The true class, where it is known.

        Raises
        ------
        DataError
            When the image cannot be read; it is named ``name``.
        UsageError
            When the model has no such class.
        """
        fitted = self.model.fitted
        preprocess = fitted.card.preprocess
        codes = self.model.codes([data], [name])
        row = probabilities(fitted, codes)[0]
        best = int(row.argmax())
        label = best if for_class is None else self.require_class(for_class)
        contrast = over_the_others(label, len(self.model.classes))
        image = seen(data, preprocess, name)
        length = float(np.linalg.norm(codes[0].astype(np.float32))) if fitted.normalise == "l2" else 1.0
        evidence = []
        with self._running:
            for view in views(fitted.views, seed=0):
                values = self._attribution.evidence(prepared(image, preprocess, view), contrast, length)
                evidence.append(ViewEvidence(values, placement(*image.size, preprocess, view)))
        classes = self.model.classes
        return Explanation(
            name=name,
            label=classes[best],
            probability=float(row[best]),
            for_class=classes[label],
            for_class_probability=float(row[label]),
            nearest=self._nearest.of(codes[0], nearest) if self._nearest is not None and nearest else (),
            width_px=image.width,
            height_px=image.height,
            picture=_picture(image),
            evidence=tuple(evidence),
            actual=actual,
        )

    def require_class(self, name: str) -> int:
        """Return the row of a class in the head; raises UsageError where the model has no such class."""
        classes = self.model.classes
        if name not in classes:
            raise UsageError(
                f"--for-class must be one of the model's {len(classes)} classes, but {name} is none"
                f"{did_you_mean(name, classes)}; `classes.json` in the model's folder lists them"
            )
        return classes.index(name)


def _picture(image: Image.Image) -> NDArray[np.uint8]:
    """(h, w, 3) RGB; a small image is enlarged in whole pixels, so that something can be seen."""
    scale = PICTURE_PX / max(image.size)
    if scale >= 2:
        size = (image.width * int(scale), image.height * int(scale))
        shown = image.resize(size, Image.Resampling.NEAREST)
    else:
        shown = image.copy()
        shown.thumbnail((PICTURE_PX, PICTURE_PX))
    return np.asarray(shown.convert("RGB"))
