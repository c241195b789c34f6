"""A model folder becomes a model that predicts, without torch where its engine was saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graftwork.backbones.engines import FALLBACK, REFERENCE, Engine, is_int8, open_engine, open_saved_engine
from graftwork.core.facts import BackboneCard
from graftwork.errors import ModelError
from graftwork.files import sha256_of
from graftwork.model.folder import BODY, MANIFEST, ModelFolder, model_folder, read_model
from graftwork.model.predict import Model

TOLERANCE = 0.02
"""Maximum difference of a sample's probability from the recorded one, on another processor or engine."""


def load(folder: str | Path, *, check: bool = True, batch_sizes: Sequence[int] | None = None) -> Model:
    """Load the model of a run's folder, or a model folder moved anywhere.

    Parameters
    ----------
    check
        Predict the folder's samples and compare with their probabilities when the model was made.
    batch_sizes
        Numbers of images that the network computes at a time, in place of the engine's own.

    Raises
    ------
    ModelError
        When the folder is no model, is damaged, was written by another version of graftwork, or does not predict its
        samples.

    Examples
    --------
    >>> load("runs/photos-001").classes
    ('ant', 'bee', 'cat')
    """
    path = model_folder(folder)
    contents = read_model(path)
    again = load_same, (path.resolve(), sha256_of(path / MANIFEST))
    engine = _engine(path, contents, contents.fitted.engine, batch_sizes)
    model = Model(contents.fitted, contents.novelty, engine, again, contents.manifest)
    if check:
        _check_samples(path, model, contents)
    return model


def load_in_float32(folder: str | Path) -> Model:
    """Load a model to compare with: in float32, whatever engine its run used; its samples are not checked.

    Raises
    ------
    ModelError
        As ``load``.
    """
    path = model_folder(folder)
    contents = read_model(path)
    again = load_in_float32, (path.resolve(),)
    return Model(contents.fitted, contents.novelty, _engine(path, contents, FALLBACK), again, contents.manifest)


def load_same(folder: Path, manifest_sha256: str) -> Model:
    """Load the model that a folder held before, for a pickle that holds no more than its place.

    Raises
    ------
    ModelError
        When the folder is gone, or holds another model now.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise ModelError(
            f"{folder} must be where it was when this model was pickled, but is gone: a pickle holds the place of the "
            "folder; put it back, or load the model from where it is"
        )
    if sha256_of(manifest) != manifest_sha256:
        raise ModelError(
            f"{folder} must hold the model that was pickled, but holds another one now; load and pickle that"
        )
    return load(folder, check=False)


def _engine(path: Path, contents: ModelFolder, name: str, batch_sizes: Sequence[int] | None = None) -> Engine:
    """Return the engine saved in the folder; where it is missing or cannot run here, one made from the body.

    One in 8 bits cannot be made again, for it was calibrated; and it stands for no other one.
    """
    in_int8 = is_int8(contents.fitted.engine)
    saved = open_saved_engine(path / "engine", name, batch_sizes) if is_int8(name) == in_int8 else None
    if saved is not None:
        return saved
    if is_int8(name):
        raise ModelError(
            f"{path / 'engine'} must hold the network in 8 bits, and OpenVINO must be installed, but one is missing; "
            "copy the whole folder again, or `pip install openvino`"
        )
    card = dataclasses.replace(body_card(path, contents), taps=contents.fitted.taps)
    return open_engine(card, REFERENCE, batch_sizes)


def body_card(path: Path, contents: ModelFolder) -> BackboneCard:
    """Return the card of a model's network with the weights in its folder, or those that it began with (``slim``)."""
    body = path / BODY
    if not body.is_file():
        return contents.fitted.card
    checksum = contents.manifest["sha256"][BODY]
    return dataclasses.replace(contents.fitted.card, source="file", weights=str(body), weights_sha256=checksum)


def _check_samples(path: Path, model: Model, contents: ModelFolder) -> None:
    if not contents.samples:
        return
    probabilities = model.probabilities([sample.data for sample in contents.samples])
    expected = np.stack([sample.probabilities for sample in contents.samples])
    gap = float(np.abs(probabilities - expected).max())
    if not gap <= TOLERANCE:  # NaN is not
        raise ModelError(
            f"{path} must give its samples the probabilities they had, but one is {gap:.3f} off; "
            "copy the folder again, or train again with this version"
        )
