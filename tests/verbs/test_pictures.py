"""Pictures in memory, in every mode that Pillow has, read as the same picture in a file would be."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork.core.record import Run
from graftwork.errors import DataError
from graftwork.model.load import Model
from graftwork.testing import tiny_image

MODES = (
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "I;16L",
    "I;16B", "I;16N", "F",
)  # fmt: skip
DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")


@pytest.fixture(scope="module")
def model(run: Run) -> Model:
    return graftwork.load(run.folder)


def in_mode(mode: str) -> Image.Image:
    picture = Image.fromarray(tiny_image(1, 0))
    if mode in ("La", "RGBa"):
        return picture.convert(mode[:-1] + "A").convert(mode)
    if mode == "PA":
        return picture.convert("P").convert(mode)
    try:
        return picture.convert(mode)
    except ValueError:  # no way from RGB
        return Image.new(mode, picture.size)


def file_of(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_predicted_or_one_line(model: Model, mode: str) -> None:
    picture = in_mode(mode)
    assert picture.mode == mode
    if mode in DEEP:
        with pytest.raises(DataError, match=r"^image 1 .*(train with `--intensity dtype`|convert it to RGB)") as raised:
            model.predict(picture)
        assert "\n" not in str(raised.value)
        return
    seen = picture.convert("LA") if mode == "La" else picture.convert("RGB")
    expected = model.probabilities([file_of(seen)])
    np.testing.assert_allclose(model.probabilities([picture]), expected, atol=2e-2)
    assert model.predict(picture)[0].label == model.classes[int(expected[0].argmax())]


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_what_a_picture_in_memory_says_of_transparency_holds_as_in_a_file(model: Model, mode: str) -> None:
    picture = Image.fromarray(tiny_image(1, 0)).convert(mode)
    colour = picture.getpixel((0, 0))
    half = picture.copy()
    half.paste(colour, (0, 0, 32, 16))
    half.info["transparency"] = colour
    np.testing.assert_array_equal(model.probabilities([half]), model.probabilities([file_of(half)]))
    opaque = half.copy()
    del opaque.info["transparency"]
    assert (model.probabilities([half]) != model.probabilities([opaque])).any()


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_is_turned_as_its_note_says_and_never_compressed_again(model: Model, orientation: int) -> None:
    picture = Image.fromarray(np.hstack([tiny_image(1, 0), tiny_image(2, 0)]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    picture.save(out, "TIFF", compression="jpeg", quality=30, exif=exif)
    np.testing.assert_array_equal(
        model.probabilities([Image.open(io.BytesIO(out.getvalue()))]), model.probabilities([out.getvalue()])
    )


@pytest.mark.parametrize("shape", [(8, 8, 5), (0, 8, 3), (3,), (2, 2, 2, 2, 2)])
def test_an_array_of_an_odd_shape_is_one_line(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"^image 1 must be ") as raised:
        model.probabilities([np.zeros(shape, np.uint8)])
    assert "\n" not in str(raised.value)


def test_a_picture_whose_file_is_cut_off_is_one_line(model: Model) -> None:
    data = file_of(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    with pytest.raises(DataError, match=r"^image 1 must be "):
        model.predict(Image.open(io.BytesIO(data[: len(data) // 2])))
