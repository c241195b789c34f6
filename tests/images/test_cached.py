"""Images decoded once and cached: the pixels in use to the bit, views close to those of the file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import paint, picture, write

from graftwork.core.facts import Preprocess
from graftwork.images import cached
from graftwork.images.cached import CachedImages, cached_images
from graftwork.images.pixels import pixels
from graftwork.images.read import from_paths
from graftwork.images.views import random_view, views
from graftwork.listener import Listener

PREPROCESS = Preprocess(input_px=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def cache(folder, paths, preprocess=PREPROCESS, budget_mb=1000.0, listener=None):
    return cached_images(
        from_paths([str(path) for path in paths]),
        preprocess,
        folder / "cached",
        budget_mb=budget_mb,
        listener=listener or Listener(),
    )


@pytest.fixture
def paths(tmp_path):
    """Return files of every shape: oblong both ways, small, thin, grey, with alpha."""
    files = []
    for number, size in enumerate([(300, 200), (90, 400), (20, 30), (500, 3), (64, 64)]):
        for mode in ("RGB", "L", "RGBA"):
            path = tmp_path / f"{number}-{mode}.png"
            picture(number, size).convert(mode).save(path)
            files.append(path)
    return files


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_what_the_network_sees_in_use_is_to_the_bit_what_the_file_gives(tmp_path, paths, aspect):
    preprocess = dataclasses.replace(PREPROCESS, aspect=aspect)
    images = cache(tmp_path, paths, preprocess)
    for number, path in enumerate(paths):
        np.testing.assert_array_equal(images.pixels(number, None), pixels(path.read_bytes(), preprocess))


def test_an_image_no_larger_than_what_is_cached_gives_every_view_to_the_bit(tmp_path):
    paths = [write(tmp_path / f"{i}.png", paint(i)) for i in range(3)]
    images = cache(tmp_path, paths)
    for number, path in enumerate(paths):
        for view in views(8, seed=number):
            np.testing.assert_array_equal(images.pixels(number, view), pixels(path.read_bytes(), PREPROCESS, view))


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_views_of_photos_differ_little_from_those_of_their_files(tmp_path, sets, aspect):
    paths = sorted((sets / "hymenoptera").rglob("*.jpg"))[::40]
    preprocess = dataclasses.replace(PREPROCESS, input_px=96, aspect=aspect)
    images = cache(tmp_path, paths, preprocess)
    differences = []
    for number, path in enumerate(paths):
        for epoch in range(4):
            view = random_view(np.random.default_rng([0, epoch, number]))
            exact = pixels(path.read_bytes(), preprocess, view).astype(float)
            differences.append(np.abs(images.pixels(number, view) - exact).mean())
    assert len(differences) > 30
    assert np.median(differences) < 0.7
    assert np.mean(differences) < 2


@given(st.integers(1, 40), st.integers(1, 40))
def test_images_of_any_size_can_be_cached(tmp_path_factory, width, height):
    folder = tmp_path_factory.mktemp("any")
    picture(0, (20 * width, 20 * height)).save(folder / "image.png")
    images = cache(folder, [folder / "image.png"])
    for view in views(4, seed=0):
        assert images.pixels(0, view).shape == (32, 32, 3)


def test_images_are_decoded_once_and_found_again(tmp_path, paths, monkeypatch):
    first = cache(tmp_path, paths)
    monkeypatch.setattr(cached, "seen", None)  # decoding again would fail
    again = cache(tmp_path, paths)
    view = views(4, seed=1)[3]
    for number in range(len(paths)):
        np.testing.assert_array_equal(first.pixels(number, view), again.pixels(number, view))


def test_a_caching_that_was_killed_is_begun_again(tmp_path, paths, monkeypatch):
    class Killed(Listener):
        def progress(self, done, total):
            if done == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache(tmp_path, paths, listener=Killed())
    assert list(tmp_path.glob("*cached*")) == []
    assert isinstance(cache(tmp_path, paths), CachedImages)


def test_images_that_would_take_more_than_the_budget_are_not_cached_and_that_is_said_once(tmp_path, paths):
    said = []

    class Hears(Listener):
        def say(self, text):
            said.append(text)

    assert cache(tmp_path, paths, budget_mb=0.1, listener=Hears()) is None
    assert cache(tmp_path, paths, budget_mb=0.1, listener=Hears()) is None
    assert len(said) == 1
    assert "more than the cache may hold ($GRAFTWORK_CACHE_MB); every epoch decodes them again" in said[0]
    assert sum(path.stat().st_size for path in (tmp_path / "cached").iterdir()) < 1000


def test_too_many_images_are_noticed_before_all_of_them_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(cached, "_FORECAST_AT", 4)
    paths = [write(tmp_path / f"{i}.png", paint(i)) for i in range(40)]
    decoded = []

    class Counts(Listener):
        def progress(self, done, total):
            decoded.append(done)

    assert cache(tmp_path, paths, budget_mb=0.1, listener=Counts()) is None
    assert decoded == [1, 2, 3, 4]
