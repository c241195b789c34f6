"""Which networks give codes, at which layers and how: a user's options become something that extracts."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.cards import named_layers, with_input, with_pooling
from graftwork.backbones.catalogue import auto_card, find_card
from graftwork.backbones.engines import Engine, EngineChoice, choose_engine, open_engine, save_graph_of
from graftwork.backbones.tensors import tensors_of
from graftwork.codes.extract import LayerCodes, extract
from graftwork.codes.settings import ExtractionSettings
from graftwork.codes.store import Store
from graftwork.core.facts import BackboneCard, Dtype, Tap, digest_of
from graftwork.core.findings import Finding, finding
from graftwork.core.fitted import Fitted
from graftwork.core.options import AUTO, ExtractionOptions
from graftwork.core.plans import Candidate
from graftwork.errors import UsageError
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import pixels
from graftwork.listener import SILENT, Listener
from graftwork.ship.int8_engine import cached_int8_engine

FORECAST_IMAGES = 128
"""Number of images on which the speed of extraction is measured, where it is not known from this run."""


@dataclasses.dataclass(frozen=True, eq=False)
class Backbone:
    """A network that is ready to extract; torch is imported and weights are loaded only when a code is missing."""

    extraction: ExtractionSettings
    engine: Callable[[], Engine]
    store: Store
    choice: EngineChoice

    @property
    def card(self) -> BackboneCard:
        """Its card, with the preprocessing and the layers in force."""
        return self.extraction.card

    @property
    def named_input(self) -> tuple[str, int]:
        """What its speed depends on."""
        return self.card.name, self.card.preprocess.input_px

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings about it, and about the cached codes that were asked for so far."""
        return (*_card_findings(self.card), *_store_findings(self.store))

    def codes(self, images: ImageSet, listener: Listener = SILENT) -> LayerCodes:
        """Return the codes of images at every layer, computed where the store lacks them."""
        return extract(images, self.extraction, self.engine, self.store, listener=listener)

    def with_views(self, views: int) -> Backbone:
        """Return the same network with codes averaged over this number of views."""
        return self.with_extraction(dataclasses.replace(self.extraction, views=views))

    def with_input(self, input_px: int | None) -> Backbone:
        """Return the same network with images of another size; None leaves its own."""
        if input_px is None:
            return self
        plain = self.in_float()  # 8 bits are calibrated at one input
        card = with_input(self.card, input_px=input_px)
        return plain.with_extraction(dataclasses.replace(plain.extraction, card=card))

    def with_activations(self, activations: tuple[Tap, ...]) -> Backbone:
        """Return the same network with some layers taken whole in addition to its codes."""
        return self.with_extraction(dataclasses.replace(self.extraction, activations=activations))

    @property
    def is_float(self) -> bool:
        """Whether it is not in 8 bits."""
        return self.extraction.engine == self.choice.name

    def in_float(self) -> Backbone:
        """Return the same network on the engine that was chosen by measuring: this one, unless it is in 8 bits."""
        if self.is_float:
            return self
        return self.with_extraction(dataclasses.replace(self.extraction, engine=self.choice.name))

    def with_extraction(self, extraction: ExtractionSettings) -> Backbone:
        """Return a network, perhaps another one, with other extraction settings, on the same store."""
        engine = functools.partial(open_engine, extraction.read_card, extraction.engine)
        return dataclasses.replace(self, extraction=extraction, engine=engine)

    def with_fitted(self, fitted: Fitted) -> Backbone:
        """Return the network under a fitted classifier: this one, or one with fine-tuned weights."""
        if fitted.card == self.card and fitted.views == self.extraction.views:
            return self
        return self.with_extraction(ExtractionSettings(fitted.card, fitted.engine, fitted.views, fitted.code_dtype))

    def body(self) -> Mapping[str, NDArray[Any]]:
        """Return the network's own tensors by name."""
        return tensors_of(self.card)

    def write_engine(self, taps: Sequence[Tap]) -> Callable[[Path], None] | None:
        """Return what writes the network up to these layers into a model folder; None without OpenVINO."""
        if not self.extraction.engine.startswith("openvino"):
            return None
        layers = [tap.name for tap in taps]
        return functools.partial(save_graph_of, self.card, layers, name=self.extraction.engine)


@dataclasses.dataclass(frozen=True, eq=False)
class Backbones:
    """The networks of a run, and their codes of the images to develop on."""

    by_name: Mapping[str, Backbone]
    """By the names of their cards, in the order in which the user gave them."""
    develop: ImageSet
    listener: Listener
    activations: Mapping[str, tuple[Tap, ...]] = dataclasses.field(default_factory=dict)
    """Layers of networks that are taken whole wherever codes of several views are computed: one pass serves the linear
    classifier of several views and all fine-tunings above a cut."""
    _codes: dict[str, LayerCodes] = dataclasses.field(default_factory=dict)
    """Of the images to develop on, by the digest of the extraction settings."""
    _seconds_per_image: dict[tuple[str, int], float] = dataclasses.field(default_factory=dict)
    """Decoding included, of each network and input when it last extracted codes here."""

    @property
    def cards(self) -> tuple[BackboneCard, ...]:
        """In the order in which the user gave them."""
        return tuple(backbone.card for backbone in self.by_name.values())

    @property
    def budget_mb(self) -> float:
        """Disk space that the store of codes may take."""
        return self.store.budget_mb

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings about the networks, and about the cached codes."""
        return (*(note for card in self.cards for note in _card_findings(card)), *_store_findings(self.store))

    def of(self, candidate: Candidate) -> Backbone:
        """Return the network of a candidate, with its input, and as many views as its codes are averaged over.

        What is fine-tuned is never in 8 bits. With codes of several views come the activations of the same views.
        """
        own = self.by_name[candidate.backbone]
        backbone = own.with_input(candidate.smaller_px).with_views(candidate.views_before)
        if candidate.plan.kind != "linear":
            return backbone.in_float()
        several = own.extraction.views == 1 < candidate.views and backbone.is_float
        return backbone.with_activations(self.activations.get(candidate.backbone, ())) if several else backbone

    def with_activations(self, activations: Mapping[str, tuple[Tap, ...]]) -> Backbones:
        """Return the same networks, some layers of which are taken whole wherever codes of several views are computed.

        Parameters
        ----------
        activations
            By name of the network.
        """
        return dataclasses.replace(self, activations=activations)

    def on(self, images: ImageSet) -> Backbones:
        """Return the same networks, to develop on other images."""
        return dataclasses.replace(self, develop=images, _codes={})

    def codes(self, candidate: Candidate) -> LayerCodes:
        """Return the codes that a candidate begins with, of the images to develop on."""
        return self._develop_codes(self.of(candidate))

    def extract_for(self, candidates: Sequence[Candidate]) -> None:
        """Compute the codes under the heads of candidates that the store lacks."""
        for candidate in candidates:
            self.codes(candidate)

    def extract(self, extraction: ExtractionSettings) -> LayerCodes:
        """Return the codes of the images to develop on with any extraction settings."""
        return self._develop_codes(next(iter(self.by_name.values())).with_extraction(extraction))

    def forecast_seconds(self, name: str, images: int, input_px: int | None = None) -> float:
        """Return the seconds that it takes to extract codes of this number of images in one view.

        As long as it took in this run, per image. Where all codes were cached, some images are extracted again for it:
        what the machine did on another day says little.
        """
        backbone = self.by_name[name].with_input(input_px)
        if backbone.named_input not in self._seconds_per_image:
            with tempfile.TemporaryDirectory() as folder:
                throwaway = dataclasses.replace(backbone, store=Store(Path(folder)))
                self._timed(throwaway, self.develop.take(_spread(FORECAST_IMAGES, len(self.develop))))
        return images * self._seconds_per_image[backbone.named_input]

    @property
    def store(self) -> Store:
        """Where codes are cached."""
        return next(iter(self.by_name.values())).store

    def _develop_codes(self, backbone: Backbone) -> LayerCodes:
        key = digest_of([backbone.extraction.key(None), backbone.extraction.views])
        if key not in self._codes:
            self._codes[key] = self._timed(backbone, self.develop)
        return self._codes[key]

    def _timed(self, backbone: Backbone, images: ImageSet) -> LayerCodes:
        """Return codes, and measure how long those took that the store lacked."""
        stopwatch = _Stopwatch(self.listener)
        codes = backbone.codes(images, stopwatch)
        if stopwatch.seconds_per_image is not None:
            self._seconds_per_image[backbone.named_input] = stopwatch.seconds_per_image
        return codes


class _Stopwatch(Listener):
    """Passes on progress, and measures it."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._marks = [(time.perf_counter(), 0)]
        """At the beginning and after each block: the time, and the images done."""

    def progress(self, done: int, total: int) -> None:
        self._marks.append((time.perf_counter(), done))
        self._listener.progress(done, total)

    @property
    def seconds_per_image(self) -> float | None:
        """None where nothing was extracted."""
        if len(self._marks) < 2:
            return None
        # before the first block the network is loaded
        (begin, first), (end, last) = self._marks[len(self._marks) > 2], self._marks[-1]
        return (end - begin) / (last - first)


def open_backbones(
    options: ExtractionOptions,
    develop: ImageSet,
    intensity_range: tuple[float, float] | None = None,
    listener: Listener = SILENT,
    *,
    layers: str = AUTO,
) -> Backbones:
    """Open the networks that a user asks for, all with the same extraction options.

    Parameters
    ----------
    develop
        The images to develop on: engines are measured on some of them.
    intensity_range
        Of their images of more than 8 bits per channel.
    layers
        Those that the user names, which a network may not have in its own list.

    Raises
    ------
    BackboneError
        As ``open_backbone``.
    UsageError
        When one is named twice.
    """
    by_name: dict[str, Backbone] = {}
    store = Store()  # one, so that extracting with one network never drops the codes of another
    for name in options.backbone:
        backbone = open_backbone(
            name, options, develop, layers=layers, store=store, intensity_range=intensity_range, listener=listener
        )
        if backbone.card.name in by_name:
            raise UsageError(f"each --backbone must be another network, but {name} is given twice; leave one out")
        by_name[backbone.card.name] = backbone
    return Backbones(by_name, develop, listener)


def open_backbone(
    name: str,
    options: ExtractionOptions,
    images: ImageSet,
    *,
    layers: str = AUTO,
    dtype: Dtype = "float16",
    store: Store | None = None,
    intensity_range: tuple[float, float] | None = None,
    listener: Listener = SILENT,
) -> Backbone:
    """Find a network, fit its card to a user's options, and choose its engine on some of the images.

    Parameters
    ----------
    layers
        Those that the user names, which the network may not have in its own list.
    dtype
        Precision of the codes on disk.
    store
        Where codes are cached; None opens the store of this machine.
    intensity_range
        Of the images of more than 8 bits per channel.

    Raises
    ------
    BackboneError
        When no such network is known, or its weights cannot be found, downloaded or trusted.
    UsageError
        When 8 bits need a package that is missing.
    """
    card, why = auto_card() if name == AUTO else (find_card(name), "")
    if why:
        listener.say(why)
    card = with_input(card, input_px=options.input_px, aspect=options.aspect, intensity=options.intensity)
    if names := named_layers(layers):
        from graftwork.backbones.describe import with_extra_layers  # needs torch

        card = with_extra_layers(card, names)
    card = with_pooling(card, pool=options.pool, relu=options.relu)
    card = dataclasses.replace(card, preprocess=dataclasses.replace(card.preprocess, intensity_range=intensity_range))
    choice = choose_engine(card, functools.partial(_sample, images, card))
    engine = cached_int8_engine(card, images) if options.engine == "int8" else choice.name
    return Backbone(
        extraction=ExtractionSettings(card, engine, options.views, dtype),
        engine=functools.partial(open_engine, card, engine),
        store=store or Store(),
        choice=choice,
    )


def _sample(images: ImageSet, card: BackboneCard, n: int) -> NDArray[np.uint8]:
    """(n, px, px, 3) pixels of this number of images or fewer, spread over all of them."""
    rows = _spread(n, len(images))
    return np.stack([pixels(images.read(i), card.preprocess, None, images.names[i]) for i in rows])


def _spread(n: int, images: int) -> NDArray[np.intp]:
    """At most n indices of images, spread over all of them."""
    return np.unique(np.linspace(0, images - 1, n).astype(np.intp))


def _card_findings(card: BackboneCard) -> tuple[Finding, ...]:
    if card.batchnorm_statistics != "identity":
        return ()
    because = (
        f"every batch norm of {card.name} has mean 0 and variance 1: a converter folded the statistics into the "
        "weights; codes are right, and fine-tuning measures the statistics first"
    )
    return (finding("G401", because),)


def _store_findings(store: Store) -> tuple[Finding, ...]:
    if not store.damaged:
        return ()
    because = (
        f"the checksums of {store.damaged} files of the store did not match; they were dropped, and their codes "
        "computed again"
    )
    return (
        finding(
            "G402", because, do=f"if it happens again, check the disk that holds {store.folder}", count=store.damaged
        ),
    )
