"""On which pictures an export is compared: of many shapes, and one that shows a runtime without antialiasing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.model.folder import read_samples
from graftwork.ship.export_pictures import mosaic, pictures
from graftwork.testing import tiny_image

pytestmark = pytest.mark.xdist_group("export")


def stored(size: tuple[int, int], label: int = 0) -> bytes:
    out = io.BytesIO()
    Image.fromarray(tiny_image(label, label, 200)).resize(size).save(out, "PNG")
    return out.getvalue()


def test_each_image_comes_as_it_is_and_all_together_in_every_shape() -> None:
    sizes = [picture.shape[:2] for picture in pictures([stored((120, 90), n) for n in range(5)], Preprocess())]
    assert len(sizes) == 15
    assert sizes[::3] == [(90, 120)] * 5
    others = set(sizes) - {(90, 120)}
    assert others == {(90, 30), (40, 120), (20, 27), (694, 926), (55, 73)}


def test_a_strip_of_a_pixel_is_not_enlarged_beyond_measure() -> None:
    for picture in pictures([stored((900, 1), n) for n in range(5)], Preprocess()):
        assert max(picture.shape) <= 4000
        assert min(picture.shape[:2]) >= 1


def test_the_mosaic_shows_what_small_samples_hide() -> None:
    """Samples of the network's own size are the same with and without antialiasing."""
    preprocess = Preprocess(input_px=64)
    whole = Image.open(io.BytesIO(mosaic([stored((64, 64), n) for n in range(4)], preprocess)))
    assert whole.size == (192, 192)
    right = np.asarray(whole.resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    wrong = np.asarray(whole)[1::3, 1::3].astype(int)  # cubic at one third, without antialiasing
    assert np.abs(right - wrong).mean() > 10


def test_a_mosaic_is_among_the_samples_of_an_export(exported) -> None:
    file = exported()
    samples = read_samples(file.with_name(f"{file.stem}-samples"))
    assert samples[-1].name == "mosaic.png"
    side = Image.open(io.BytesIO(samples[-1].data)).size
    assert side == (160, 160), "larger than what is resized exactly, so that the runtime's own resizing is checked"
