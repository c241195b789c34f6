"""The preprocessing law: one resize of the crop's box gives what resize-then-crop gives, for any size of image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from graftwork.core.facts import Preprocess
from graftwork.images.pixels import decode, normalise, pixels, prepared
from graftwork.images.views import View, views


def noise(width: int, height: int, seed: int, mode: str = "RGB") -> Image.Image:
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def resize_then_crop(image: Image.Image, px: int, short: int, interpolation: Image.Resampling) -> np.ndarray:
    """What torchvision's Resize(short) and CenterCrop(px) do to a PIL image, rows first as Pillow did up to 12."""
    w, h = image.size
    size = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    whole = image.resize((size[0], h), interpolation).resize(size, interpolation)
    left, top = round((size[0] - px) / 2.0), round((size[1] - px) / 2.0)
    return np.asarray(whole.crop((left, top, left + px, top + px)).convert("RGB"), dtype=np.int16)


sizes = st.integers(1, 300)


@settings(max_examples=60)
@given(
    sizes,
    sizes,
    st.sampled_from([(32, 0.875), (64, 0.95), (48, 1.0), (33, 0.9)]),
    st.sampled_from(["bicubic", "bilinear"]),
    st.integers(0, 9),
)
def test_the_box_keeps_the_grid(width: int, height: int, target: tuple[int, float], filter: str, seed: int) -> None:
    px, fraction = target
    image = noise(width, height, seed, "L" if seed % 3 == 0 else "RGB")
    preprocess = Preprocess(input_px=px, crop_fraction=fraction, interpolation=filter)
    ours = prepared(image, preprocess).astype(np.int16)
    theirs = resize_then_crop(image, px, int(px / fraction), getattr(Image.Resampling, filter.upper()))
    assert np.abs(ours - theirs).mean() < 0.5
    assert np.abs(ours - theirs).max() <= 1


@given(st.integers(2, 60), st.integers(2, 60), st.integers(1, 8))
def test_every_way_of_holding_the_camera_gives_the_same_pixels(width: int, height: int, orientation: int) -> None:
    image = noise(width, height, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    with Image.open(io.BytesIO(buffer.getvalue())) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(np.asarray(decode(buffer.getvalue(), Preprocess(), "x")), upright)


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from(["crop", "pad", "stretch"]), st.integers(1, 9))
def test_any_image_and_view_fills_the_input(width: int, height: int, aspect: str, k: int) -> None:
    preprocess = Preprocess(input_px=24, aspect=aspect)
    for view in views(k, seed=1):
        assert prepared(noise(width, height, 0), preprocess, view).shape == (24, 24, 3)


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_a_flipped_view_is_the_mirror_image(aspect: str) -> None:
    preprocess = Preprocess(input_px=20, aspect=aspect, crop_fraction=1.0)
    image = noise(50, 30, 1)
    plain, flipped = prepared(image, preprocess), prepared(image, preprocess, View(flip=True))
    assert np.array_equal(flipped, plain[:, ::-1])


def test_a_view_is_the_crop_of_the_image() -> None:
    image = noise(100, 80, 1)
    preprocess = Preprocess(input_px=40, crop_fraction=0.875)
    view = prepared(image, preprocess, View((0.2, 0.25, 0.6, 0.75)))
    assert np.array_equal(view, np.asarray(image.crop((20, 20, 60, 60)).convert("RGB").resize((40, 40))))


def test_views_are_the_same_every_time_and_lie_in_the_image() -> None:
    drawn = views(7, seed=3)
    assert drawn == views(7, seed=3)
    assert drawn != views(7, seed=4)
    assert drawn == views(12, seed=3)[:7]  # more views cost the difference
    assert drawn[0] is None
    assert len(set(drawn)) == 7
    for view in drawn[1:]:
        left, top, right, bottom = view.box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


def test_pad_shows_the_whole_image_on_the_mean_colour() -> None:
    image = Image.new("RGB", (40, 20), (250, 0, 0))
    preprocess = Preprocess(input_px=20, aspect="pad", mean=(0.2, 0.4, 0.6))
    got = prepared(image, preprocess)
    assert got[0, 0].tolist() == [51, 102, 153]
    assert got[5:15].reshape(-1, 3).tolist() == [[250, 0, 0]] * 200
    caffe = Preprocess(input_px=20, aspect="pad", mean=(0.2, 0.4, 0.6), channels="BGR")
    assert prepared(image, caffe)[0, 0].tolist() == [153, 102, 51]


def test_normalise_reads_mean_and_std_in_the_networks_order() -> None:
    batch = np.array([[[[0, 51, 255]]]], np.uint8)
    rgb = normalise(batch, Preprocess(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 0.5)))
    assert np.allclose(rgb.ravel(), [-0.1, 0.0, 1.4])
    bgr = normalise(batch, Preprocess(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 0.5), channels="BGR"))
    assert np.allclose(bgr.ravel(), [0.9, 0.0, -0.6])
    assert rgb.shape == (1, 3, 1, 1)
    assert rgb.dtype == np.float32


def test_pixels_depend_on_the_bytes_alone() -> None:
    buffer = io.BytesIO()
    noise(70, 50, 1).save(buffer, "JPEG")
    one = pixels(buffer.getvalue(), Preprocess(), None, "a")
    assert np.array_equal(one, pixels(buffer.getvalue(), Preprocess(), None, "b"))
