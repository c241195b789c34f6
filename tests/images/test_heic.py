"""Photographs of iPhones: HEIC is read where the package for it is installed, and named where it is not."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import paint, write
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.errors import DataError
from graftwork.images import pillow
from graftwork.images.header import open_image
from graftwork.images.measure import measure_images
from graftwork.images.pixels import decode
from graftwork.images.read import read_images

HEADER = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
PREPROCESS = Preprocess(input_px=64)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    pillow.reads_heic.cache_clear()
    yield
    pillow.reads_heic.cache_clear()


def heic(image: Image.Image, **arguments: object) -> bytes:
    pytest.importorskip("pillow_heif")
    assert pillow.reads_heic()
    file = io.BytesIO()
    image.save(file, "HEIF", quality=95, **arguments)
    return file.getvalue()


def test_without_the_package_the_message_says_how_to_read_it(no_package) -> None:
    with pytest.raises(
        DataError, match=r"^a must be in another format than HEIC, or `pip install 'graftwork\[heic\]'` first$"
    ):
        open_image(HEADER, "a")


def test_a_photograph_is_the_same_as_in_any_other_format(tmp_path: Path) -> None:
    jpeg = paint(3, (90, 120))
    data = heic(Image.open(io.BytesIO(jpeg)))
    one, other = (np.asarray(decode(file, PREPROCESS, "a"), np.int16) for file in (data, jpeg))
    assert np.abs(one - other).mean() < 4
    write(tmp_path / "cat" / "a.HEIC", data)
    write(tmp_path / "dog" / "nameless", data)
    images = read_images(tmp_path)
    assert list(images.names) == ["cat/a.HEIC", "dog/nameless"]
    measured = measure_images(images, tmp_path / "cache")
    assert measured.readable.all()
    assert measured.format.tolist() == ["HEIF", "HEIF"]
    assert (measured.width.tolist(), measured.height.tolist()) == ([90, 90], [120, 120])


def test_a_photograph_that_was_taken_upright_is_turned_once(tmp_path: Path) -> None:
    wide = Image.new("RGB", (80, 40), "blue")
    wide.paste("red", (0, 0, 20, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg = io.BytesIO()
    wide.save(jpeg, "JPEG", quality=95, exif=exif)
    data = heic(Image.open(jpeg))  # HEIC has a property in place of the note
    assert b"irot" in data
    write(tmp_path / "a" / "a.jpg", jpeg.getvalue())
    write(tmp_path / "b" / "b.heic", data)
    measured = measure_images(read_images(tmp_path), tmp_path / "cache")
    assert (measured.width.tolist(), measured.height.tolist()) == ([40, 40], [80, 80])
    one, other = (np.asarray(decode(file, PREPROCESS, "a"), np.int16) for file in (data, jpeg.getvalue()))
    assert np.abs(one - other).mean() < 4


@pytest.mark.parametrize("share", [0.5, 0.98])
def test_one_that_is_cut_off_is_unreadable(share: float) -> None:
    data = heic(Image.new("RGB", (64, 64), "green"))
    with pytest.raises(DataError, match="must be a"):
        decode(data[: int(share * len(data))], PREPROCESS, "a")
