"""The preprocessing in an exported graph is that of ``images/pixels.py``: for every size and ratio, and for views."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.images.pixels import _centre_box, prepared, scaled_side
from graftwork.images.views import View, views

onnx = pytest.importorskip("onnx", reason="needs onnx and onnxruntime: pip install 'graftwork[export]'")
onnxruntime = pytest.importorskip("onnxruntime")

from graftwork.ship.onnx_preprocess import SMALL_PX, preprocess_model  # noqa: E402

PX = 24
LARGEST_MEAN = 0.2
"""Grey levels: onnxruntime rounds some of the sums of bilinear weights that lie between two bytes the other way."""
LARGEST_MEAN_OF_SMALL = 0.003
"""One or two of the values: corners of boxes are rounded to single precision."""
ASPECTS = ("crop", "pad", "stretch")
SIDES = st.integers(1, 200)
LARGE = st.integers(1, 40_000)


@functools.cache
def session(aspect: str, interpolation: str, count: int = 1) -> tuple[Preprocess, tuple[View | None, ...], Any]:
    preprocess = Preprocess(input_px=PX, aspect=aspect, interpolation=interpolation, mean=(0.2, 0.5, 0.9))  # type: ignore[arg-type]
    kinds = views(count, seed=0)
    return preprocess, kinds, _run_by_onnxruntime(preprocess_model(preprocess, kinds))


def _run_by_onnxruntime(model: Any) -> Any:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def gaps(height: int, width: int, aspect: str, interpolation: str, count: int = 1) -> np.ndarray:
    """(views, px, px, 3) differences in grey levels, for noise: nothing is harder to resize."""
    preprocess, kinds, run = session(aspect, interpolation, count)
    image = np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    (actual,) = run.run(None, {"image": image})
    expected = np.stack([prepared(Image.fromarray(image), preprocess, view) for view in kinds])
    assert actual.dtype == np.uint8
    return np.abs(actual.astype(int) - expected)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("aspect", ASPECTS)
@given(height=SIDES, width=SIDES)
@example(height=PX, width=PX)
@example(height=1, width=1)
@example(height=1, width=200)
@example(height=27, width=28)  # the margin of the crop is odd
@settings(max_examples=40)
def test_an_image_of_any_size_becomes_the_same_pixels(aspect: str, interpolation: str, height: int, width: int) -> None:
    gap = gaps(height, width, aspect, interpolation)
    assert gap.max() <= 2
    assert gap.mean() < LARGEST_MEAN


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("aspect", ASPECTS)
@given(height=st.integers(1, SMALL_PX), width=st.integers(1, SMALL_PX))
@example(height=10, width=32)
@settings(max_examples=20)
def test_small_wide_images_become_pillows_pixels(aspect: str, interpolation: str, height: int, width: int) -> None:
    """Of a tall one ``images/pixels.py`` cuts rows off first: then its box is rounded in another place."""
    gap = gaps(min(height, width), max(height, width), aspect, interpolation)
    assert gap.max() <= 1
    assert gap.mean() < LARGEST_MEAN_OF_SMALL


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("aspect", ASPECTS)
@given(height=SIDES, width=SIDES)
@example(height=150, width=200)
@example(height=3, width=2)
@settings(max_examples=8)
def test_views_become_the_same_pixels_though_their_boxes_lie_between_pixels(
    aspect: str, interpolation: str, height: int, width: int
) -> None:
    gap = gaps(height, width, aspect, interpolation, count=5)
    assert gap.max() <= 2
    assert gap.mean() < LARGEST_MEAN


@functools.cache
def placing(aspect: str) -> Any:
    """From the sides of an image to the size that it is resized to, and the part of that which is used."""
    model = preprocess_model(Preprocess(input_px=PX, aspect=aspect), [None])  # type: ignore[arg-type]
    extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model))
    return _run_by_onnxruntime(extractor.extract_model(["sides"], ["whole0", "start0", "count0"]))


@given(height=LARGE, width=LARGE)
@settings(max_examples=300)
def test_where_the_centre_is_cropped_is_equal_to_the_last_bit(height: int, width: int) -> None:
    whole, start, count = placing("crop").run(None, {"sides": np.array([height, width])})
    assert count.tolist() == [PX, PX]
    across, down = width / whole[1], height / whole[0]
    box = (start[1] * across, start[0] * down, (start[1] + PX) * across, (start[0] + PX) * down)
    assert box == _centre_box(width, height, PX, scaled_side(Preprocess(input_px=PX)))


@given(height=LARGE, width=LARGE)
@example(height=48, width=1)  # half a pixel
@settings(max_examples=300)
def test_the_size_of_a_padded_image_is_rounded_as_python_does(height: int, width: int) -> None:
    whole, _, count = placing("pad").run(None, {"sides": np.array([height, width])})
    longer = max(height, width)
    assert whole.tolist() == [max(1, round(PX * height / longer)), max(1, round(PX * width / longer))]
    assert count.tolist() == whole.tolist()


def test_a_floor_is_where_python_has_it() -> None:
    """The longest and the shortest ratio at which the side of the crop changes by one pixel."""
    for width in range(1, 2000):
        whole, _, _ = placing("crop").run(None, {"sides": np.array([1999, width])})
        side = scaled_side(Preprocess(input_px=PX))
        assert whole.tolist() == [math.floor(side * 1999 / width), side]
