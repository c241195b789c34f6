from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from pictures import encoded, paint, picture
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.errors import DataError
from graftwork.images.pixels import decode, pixels

PLAIN = Preprocess()


def seen(data: bytes, preprocess: Preprocess = PLAIN) -> np.ndarray:
    image = decode(data, preprocess, "x.png")
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def test_grey_and_one_bit() -> None:
    grey = picture(1).convert("L")
    assert np.array_equal(seen(encoded(grey, "PNG")), np.repeat(np.asarray(grey)[..., None], 3, axis=2))
    assert set(np.unique(seen(encoded(grey.convert("1"), "PNG")))) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_white(mode: str) -> None:
    image = picture(1).convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))))
    if mode == "P":
        image = image.quantize()
    got = seen(encoded(image.convert(mode), "PNG"))
    assert got[:, 0].min() >= 245
    assert got[:, -1].min() < 200


def test_a_colour_that_a_png_names_as_transparent_shows_white() -> None:
    image = Image.new("RGB", (4, 4), (0, 0, 0))
    image.putpixel((0, 0), (9, 9, 9))
    got = seen(encoded(image, "PNG", transparency=(0, 0, 0)))
    assert got[0, 0].tolist() == [9, 9, 9]
    assert got[1, 1].tolist() == [255, 255, 255]


def test_palette_and_first_frame() -> None:
    first, second = picture(1).quantize(), picture(2).quantize()
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert np.abs(seen(data) - np.asarray(first.convert("RGB"))).max() <= 2
    pages = encoded(picture(3), "TIFF", save_all=True, append_images=[picture(4)])
    assert np.array_equal(seen(pages), np.asarray(picture(3)))


def test_cmyk() -> None:
    image = picture(5, (64, 48))
    assert np.abs(seen(encoded(image.convert("CMYK"), "JPEG", quality=95)) - np.asarray(image)).mean() < 4


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_take_one_range_for_the_data_set(format: str) -> None:
    values = np.array([[100, 1100], [2100, 60000]], np.uint16)
    data = encoded(Image.fromarray(values), format)
    got = seen(data, Preprocess(intensity_range=(100.0, 2100.0)))
    assert got[..., 0].tolist() == [[0, 128], [255, 255]]
    assert seen(data, Preprocess(intensity="dtype"))[..., 0].tolist() == [[0, 4], [8, 233]]
    assert seen(data, Preprocess(intensity="image"))[..., 0][0, 0] == 0
    with pytest.raises(DataError, match=r"x.png has 16 bits .* is not known: use `--intensity dtype`"):
        seen(data)


def test_floating_point() -> None:
    values = np.array([[0.0, 0.5], [1.0, np.nan]], np.float32)
    data = encoded(Image.fromarray(values), "TIFF")
    assert seen(data, Preprocess(intensity="dtype"))[..., 0].tolist() == [[0, 128], [255, 0]]
    assert seen(data, Preprocess(intensity_range=(0.5, 1.0)))[..., 0].tolist() == [[0, 0], [255, 0]]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_image_is_an_error_and_never_black(format: str, share: float) -> None:
    data = encoded(picture(1, (200, 150)), format)
    with pytest.raises(DataError, match=r"cut.jpg must be"):
        pixels(data[: int(len(data) * share)], PLAIN, name="cut.jpg")


@pytest.mark.parametrize("data", [b"", b"hello", b"<html></html>" * 99, b"\xff\xd8\xff" + b"\0" * 99])
def test_what_is_no_image_is_an_error_that_names_it(data: bytes) -> None:
    with pytest.raises(DataError, match=r"not.jpg must be"):
        pixels(data, PLAIN, name="not.jpg")


def test_noise_in_a_file_is_an_error_or_an_image() -> None:
    rng = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        whole = encoded(picture(1), format)
        for _ in range(40):
            broken = bytearray(whole)
            for place in rng.integers(0, len(broken), 5):
                broken[place] = int(rng.integers(256))
            try:
                assert pixels(bytes(broken), PLAIN).shape == (224, 224, 3)
            except DataError:
                continue
            except Warning:  # Pillow's own, an error under test only
                continue


def test_decompression_bomb() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 1, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body
    with pytest.raises(DataError, match=r"bomb.png must not unpack to more pixels than is safe"):
        pixels(data, PLAIN, name="bomb.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_exif_note_turns_nothing() -> None:
    data = encoded(picture(1), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.asarray(Image.open(io.BytesIO(data))).shape == seen(data).shape


def test_photo_bytes_against_the_usual_pipeline() -> None:
    data = paint(1, (768, 512), quality=90)
    whole = Image.open(io.BytesIO(data)).resize((384, 256), Image.Resampling.BICUBIC)
    usual = np.asarray(whole.crop((80, 16, 304, 240))).astype(int)
    assert np.abs(pixels(data, PLAIN) - usual).mean() < 0.5
