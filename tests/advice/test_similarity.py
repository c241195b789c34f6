"""Similarity is measured by arrays alone; the profile that ships is that of the embedded default."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from graftwork.advice.similarity import DIGEST_LENGTH, SourceClassifier, SourceProfile, profile_of, similarity_of
from graftwork.advice.sources import (
    GAUGE,
    gain_model,
    gauge_profile,
    ladder,
    load_profile,
    save_profile,
)
from graftwork.backbones.catalogue import find_card

RNG = np.random.default_rng(0)
CLASSIFIER = SourceClassifier(np.eye(4, 8, dtype=np.float32) * 5, np.zeros(4, np.float32))
SOURCE = {"first": RNG.normal(size=(40, 3)), "last": np.abs(RNG.normal(size=(40, 8)))}


def profile() -> SourceProfile:
    digests = [f"{i:064x}" for i in range(40)]
    return profile_of(
        SOURCE,
        CLASSIFIER,
        network="net",
        weights_sha256="x",
        input_px=8,
        source="noise",
        digests=digests,
        references=40,
    )


def test_images_of_the_source_are_the_source() -> None:
    same = similarity_of(SOURCE, np.arange(40) % 2, CLASSIFIER, profile(), gauge="net")
    assert same.entropy == profile().entropy
    assert same.nearest == pytest.approx(0, abs=1e-5)
    assert same.norm == pytest.approx(1)
    assert max(same.frechet.values()) == pytest.approx(0, abs=1e-6)


def test_what_the_classifier_is_confident_of_is_similar() -> None:
    known = {"last": np.eye(8)[:4].repeat(10, axis=0) * 3}
    strange = {"last": np.full((40, 8), 0.5)}
    y = np.arange(40) // 10
    near, far = (similarity_of(codes, y, CLASSIFIER, None, gauge="net") for codes in (known, strange))
    assert near.entropy < 0.1 < math.log(4) - 1e-6 < far.entropy
    assert near.energy > far.energy
    assert near.class_entropy == pytest.approx(0)  # the source's classes are the classes
    assert far.class_entropy == pytest.approx(1)  # one answer for every image says nothing


def test_without_a_classifier_or_a_profile_a_measure_is_not_a_number() -> None:
    bare = similarity_of(SOURCE, np.zeros(40, int), None, None, gauge="net")
    assert all(math.isnan(value) for value in (bare.entropy, bare.energy, bare.nearest, bare.norm, bare.class_entropy))
    assert bare.frechet == {}


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_profile(profile(), tmp_path / "profile.safetensors")
    read = load_profile(tmp_path / "profile.safetensors")
    assert (read.network, read.images, read.digests) == ("net", 40, profile().digests)
    assert read.entropy == profile().entropy
    assert list(read.means) == ["first", "last"]
    assert_allclose(read.nearest, profile().nearest, atol=1e-3)


def test_the_profile_that_ships_is_that_of_the_embedded_default() -> None:
    card, shipped = find_card(GAUGE), gauge_profile()
    assert shipped.weights_sha256 == card.weights_sha256
    assert shipped.input_px == 96
    assert [tap.name for tap in card.taps] == list(shipped.means)
    assert shipped.nearest.shape[1] == card.taps[-1].channels
    assert shipped.images == len(shipped.digests) == 1000
    assert all(len(digest) == DIGEST_LENGTH for digest in shipped.digests)
    assert 0.1 < shipped.entropy < 1


def test_the_ladder_rises_from_photographs_to_steel() -> None:
    entropies = [rung.entropy for rung in ladder()]
    assert entropies == sorted(entropies)
    assert len(ladder()) >= 8
    assert "photographs" in ladder()[0].name


def test_the_shipped_gains_are_jointly_normal() -> None:
    model = gain_model()
    assert {"best layer", "several views", "all layers tuned"} <= model.coefficients.keys()
    assert model.covariance.shape == (len(model.coefficients), len(model.coefficients))
    assert_allclose(model.covariance, model.covariance.T)
    assert np.linalg.eigvalsh(model.covariance).min() > 0
