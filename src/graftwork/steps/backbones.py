"""Which network, read where and how: what the user asked for becomes something that gives codes."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from graftwork.core.findings import Finding
from numpy.typing import NDArray

from graftwork.backbones.catalogue import AUTO, auto_card, find_card, with_input, with_layers, with_pooling
from graftwork.backbones.engines import EngineChoice, choose_engine, open_engine, save_graph_of
from graftwork.codes.extract import Dtype, Engine, ExtractionSettings, LayerCodes, Progress, extract
from graftwork.codes.store import Store
from graftwork.core.facts import Aspect, BackboneCard, Intensity, Relu, Tap
from graftwork.core.fitted import Fitted
from graftwork.core.plans import Candidate
from graftwork.errors import UsageError
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import pixels
from graftwork.listener import Listener

SAMPLE = 128
"""Images on which speed is measured."""


@dataclasses.dataclass(frozen=True)
class ExtractionOptions:
    """What a user can decide about reading a network; None leaves it to the card."""

    backbone: str = AUTO
    aspect: Aspect | None = None
    input_px: int | None = None
    intensity: Intensity = "dataset"
    pool: Literal["average", "max"] = "average"
    relu: Relu = "auto"
    views: int = 1
    dtype: Dtype = "float16"


@dataclasses.dataclass(frozen=True, eq=False)
class Backbone:
    """A network that is ready to be read; torch is imported and weights are loaded only when a code is missing."""

    extraction: ExtractionSettings
    engine: Callable[[], Engine]
    store: Store
    choice: EngineChoice

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is worth knowing about it, and about the codes that were kept, as far as they have been asked for."""
        return (*_card_findings(self.extraction.card), *_store_findings(self.store))

    def codes(self, images: ImageSet, progress: Progress | None = None) -> LayerCodes:
        """Return the codes of images at every layer, computed where the store lacks them."""
        return extract(images, self.extraction, self.engine, self.store, progress=progress)

    def viewed(self, views: int) -> Backbone:
        """Return the same network read in so many views."""
        return self.with_extraction(dataclasses.replace(self.extraction, views=views))

    def with_extraction(self, extraction: ExtractionSettings) -> Backbone:
        """Return a network, perhaps another, read in another way, on the same engine."""
        return dataclasses.replace(
            self, extraction=extraction, engine=functools.partial(open_engine, extraction.card, extraction.engine)
        )

    def with_fitted(self, fitted: Fitted) -> Backbone:
        """Return the network as a fitted classifier reads it: itself, or one whose weights were moved."""
        if fitted.card == self.extraction.card and fitted.views == self.extraction.views:
            return self
        return self.with_extraction(ExtractionSettings(fitted.card, fitted.engine, fitted.views, fitted.code_dtype))

    def body(self) -> dict[str, NDArray[Any]]:
        """Return the network's own tensors by name."""
        from graftwork.backbones.load import load

        return {name: tensor.numpy() for name, tensor in load(self.extraction.card).state_dict().items()}

    def write_engine(self, taps: Sequence[Tap]) -> Callable[[Path], None] | None:
        """Return what fills a model folder's engine with the network up to these layers; None without OpenVINO."""
        if not self.extraction.engine.startswith("openvino"):
            return None
        card = with_layers(self.extraction.card, [tap.name for tap in taps])
        return functools.partial(save_graph_of, card)


@dataclasses.dataclass(frozen=True, eq=False)
class Backbones:
    """The networks of a run by their cards' names, and their codes of the images to develop on."""

    backbone: Mapping[str, Backbone]
    develop: ImageSet
    progress: Progress
    _known: dict[tuple[str, int], LayerCodes] = dataclasses.field(default_factory=dict)
    _took: dict[str, float] = dataclasses.field(default_factory=dict)
    """Seconds an image, decoding and all, that each network took when it last read some here."""

    def of(self, candidate: Candidate) -> Backbone:
        """Return the network of a candidate, in as many views as it wants."""
        return self.backbone[candidate.backbone].viewed(candidate.views)

    def codes(self, candidate: Candidate) -> LayerCodes:
        """Return the codes that a candidate reads, of the images to develop on."""
        key = candidate.backbone, candidate.views
        if key not in self._known:
            self._known[key] = self._timed(self.of(candidate), self.develop)
        return self._known[key]

    def extract_for(self, candidates: Sequence[Candidate]) -> None:
        """Compute what candidates will ask for."""
        for candidate in candidates:
            self.codes(candidate)

    def read(self, images: ImageSet, extraction: ExtractionSettings) -> LayerCodes:
        """Return what images give in any reading."""
        backbone = next(iter(self.backbone.values()))
        return backbone.with_extraction(extraction).codes(images, self.progress)

    def forecast_seconds(self, backbone: str, images: int) -> float:
        """Return what it takes to read so many images once: as long as reading took in this run, image by image.

        Where all codes were kept, some images are read again for it: what the machine did another day says little.
        """
        if backbone not in self._took:
            with tempfile.TemporaryDirectory() as folder:
                throwaway = dataclasses.replace(self.backbone[backbone], store=Store(Path(folder)))
                self._timed(throwaway, self.develop.take(_spread(len(self.develop))))
        return images * self._took[backbone]

    def _timed(self, backbone: Backbone, images: ImageSet) -> LayerCodes:
        """Return codes, and keep how long those that the store lacked took."""
        marks = [(time.perf_counter(), 0)]  # then after each batch

        def progress(done: int, total: int) -> None:
            marks.append((time.perf_counter(), done))
            self.progress(done, total)

        codes = backbone.codes(images, progress)
        if len(marks) > 1:
            # before the first batch the network is loaded
            (begin, first), (end, last) = marks[len(marks) > 2], marks[-1]
            self._took[backbone.extraction.card.name] = (end - begin) / (last - first)
        return codes

    @property
    def budget_mb(self) -> float:
        """What the store of codes may take on disk."""
        return next(iter(self.backbone.values())).store.budget_mb

    @property
    def cards(self) -> tuple[BackboneCard, ...]:
        """In the order in which they were asked for."""
        return tuple(backbone.extraction.card for backbone in self.backbone.values())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is worth knowing about them, and about the codes that were kept."""
        store = next(iter(self.backbone.values())).store
        return (*(finding for card in self.cards for finding in _card_findings(card)), *_store_findings(store))


def open_networks(
    names: Sequence[str],
    asked: ExtractionOptions,
    develop: ImageSet,
    *,
    intensity_range: tuple[float, float] | None,
    listener: Listener,
) -> Backbones:
    """Open one or several networks, all of them read as ``asked`` says.

    Raises
    ------
    BackboneError
        As ``open_backbone``.
    UsageError
        When one is named twice.
    """
    backbone: dict[str, Backbone] = {}
    store = Store()  # one, so that reading one network never drops the codes of another
    for name in names:
        wanted = dataclasses.replace(asked, backbone=name)
        one = open_backbone(wanted, develop, store=store, intensity_range=intensity_range, listener=listener)
        if one.extraction.card.name in backbone:
            raise UsageError(f"each --backbone must be another network, but {name} is given twice; leave one out")
        backbone[one.extraction.card.name] = one
    return Backbones(backbone, develop, listener.progress)


def open_backbone(
    asked: ExtractionOptions,
    images: ImageSet,
    *,
    store: Store | None = None,
    intensity_range: tuple[float, float] | None = None,
    listener: Listener | None = None,
) -> Backbone:
    """Find the network, fit its card to what was asked, and choose its engine on some of the images.

    Parameters
    ----------
    images
        Those to develop on: engines are measured on some of them.
    store
        Where codes are kept; None opens the one of this machine.
    intensity_range
        Of their images of more than 8 bits.

    Raises
    ------
    BackboneError
        When no such network is known, or its weights cannot be found, fetched or trusted.
    """
    listener = listener or Listener()
    card, why = auto_card() if asked.backbone == AUTO else (find_card(asked.backbone), "")
    if why:
        listener.say(why)
    card = with_input(card, input_px=asked.input_px, aspect=asked.aspect, intensity=asked.intensity)
    card = with_pooling(card, pool=asked.pool, relu=asked.relu)
    card = dataclasses.replace(card, preprocess=dataclasses.replace(card.preprocess, intensity_range=intensity_range))
    choice = choose_engine(card, functools.partial(_sample, images, card))
    return Backbone(
        extraction=ExtractionSettings(card, choice.name, asked.views, asked.dtype),
        engine=functools.partial(open_engine, card, choice.name),
        store=store or Store(),
        choice=choice,
    )


def _sample(images: ImageSet, card: BackboneCard) -> NDArray[np.uint8]:
    """(m, px, px, 3) pixels of some images, spread over all of them."""
    rows = _spread(len(images))
    return np.stack([pixels(images.read(i), card.preprocess, None, images.names[i]) for i in rows])


def _spread(images: int) -> NDArray[np.intp]:
    """At most ``SAMPLE`` of so many images, spread over all of them."""
    return np.unique(np.linspace(0, images - 1, SAMPLE).astype(np.intp))


def _card_findings(card: BackboneCard) -> tuple[Finding, ...]:
    if card.batchnorm_statistics != "identity":
        return ()
    return (
        Finding(
            "G401",
            "note",
            "batch norm without statistics of its own",
            f"every batch norm of {card.name} has mean 0 and variance 1: folded where the weights came from; codes are "
            "right, and fine-tuning measures the statistics first",
        ),
    )


def _store_findings(store: Store) -> tuple[Finding, ...]:
    if not store.damaged:
        return ()
    return (
        Finding(
            "G402",
            "warning",
            "kept codes were damaged",
            f"{store.damaged} of the store's files did not hold what was written; they were dropped, and their codes "
            "computed again",
            f"if it happens again, look after the disk that {store.folder} lies on",
            count=store.damaged,
        ),
    )
