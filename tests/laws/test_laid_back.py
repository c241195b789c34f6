"""What is known of a network's input is laid back over the image that it came from, exactly, and nothing beyond it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.images.pixels import laid_back, placement, prepared
from graftwork.images.views import View, views

sides = st.integers(20, 200)
drawn_views = st.sampled_from([None, View(flip=True), *views(6, seed=0)[2:]])
aspects = st.sampled_from(["crop", "pad", "stretch"])


def ramp(width: int, height: int) -> np.ndarray:
    """(h, w, 3) image whose red says how far to the right a pixel is, and whose green how far down."""
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    red, green = np.meshgrid(255 * x, 255 * y)
    return np.rint(np.stack([red, green, 0 * red], axis=-1)).astype(np.uint8)


@settings(max_examples=60)
@given(sides, sides, aspects, drawn_views, st.sampled_from([0.8, 0.9, 1.0]))
def test_every_pixel_comes_back_to_its_place(
    width: int, height: int, aspect: str, view: View | None, fraction: float
) -> None:
    image = ramp(width, height)
    preprocess = Preprocess(input_px=48, crop_fraction=fraction, aspect=aspect)
    place = placement(width, height, preprocess, view)
    seen = prepared(Image.fromarray(image), preprocess, view).astype(np.float32)
    for channel, side in ((0, width), (1, height)):
        back = laid_back(seen[..., channel], place, (width, height))
        assert back.shape == image.shape[:2]
        shown = ~np.isnan(back)
        off = np.abs(back - image[..., channel])[shown]
        # a pixel of the image and one of the input, as a share of the ramp: what resampling may lose at the rim
        assert off.max() <= 255 * (1 / side + 1 / 48) + 2
        assert np.median(off) <= 255 * 0.5 / side + 2


@given(sides, sides, aspects, drawn_views)
def test_nothing_is_said_outside_what_the_network_sees(width: int, height: int, aspect: str, view: View | None) -> None:
    preprocess = Preprocess(input_px=32, crop_fraction=0.8, aspect=aspect)
    place = placement(width, height, preprocess, view)
    back = laid_back(np.ones((32, 32), np.float32), place, (width, height))
    left, top, right, bottom = place.box
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    inside = ((x >= left) & (x <= right)) & ((y >= top) & (y <= bottom))[:, None]
    np.testing.assert_array_equal(np.isnan(back), ~inside)
    assert (back[inside] == 1).all()


def test_a_smaller_result_covers_the_same_image() -> None:
    place = placement(120, 60, Preprocess(input_px=30))
    values = np.arange(900, dtype=np.float32).reshape(30, 30)
    whole, half = laid_back(values, place, (120, 60)), laid_back(values, place, (120, 60), (60, 30))
    pairs = whole.reshape(30, 2, 60, 2).mean(axis=(1, 3))
    both = ~np.isnan(pairs) & ~np.isnan(half)
    assert both.sum() > 500
    np.testing.assert_allclose(half[both], pairs[both], atol=4)
