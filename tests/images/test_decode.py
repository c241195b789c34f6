from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pictures import ALPHA, encoded, paint, picture, png16, tiff
from PIL import Image

from graftwork.core.facts import Intensity, Preprocess
from graftwork.errors import DataError
from graftwork.images.header import Samples, open_image
from graftwork.images.pixels import decode, intensities, intensity_tails, pixels

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
    with pytest.raises(DataError, match=r"x.png has 16 bits .* is not known: train with `--intensity dtype`"):
        seen(data)


def test_floating_point() -> None:
    values = np.array([[0.0, 0.5], [1.0, np.nan]], np.float32)
    data = encoded(Image.fromarray(values), "TIFF")
    assert seen(data, Preprocess(intensity="dtype"))[..., 0].tolist() == [[0, 128], [255, 0]]
    assert seen(data, Preprocess(intensity_range=(0.5, 1.0)))[..., 0].tolist() == [[0, 0], [255, 0]]


@pytest.mark.parametrize("kind", ["uint16", "int16", "int32", "uint32", "float32"])
def test_every_deep_kind_takes_the_range_of_its_set(kind: str) -> None:
    low = 0 if kind[0] == "u" else -1000
    values = np.array([[low, low + 512], [low + 1024, low]]).astype(kind)
    known = Preprocess(intensity_range=(low, low + 1024))
    assert seen(tiff(values), known)[..., 0].tolist() == [[0, 128], [255, 0]]
    with pytest.raises(DataError, match=r"x.png has (16|32) bits .* is not known"):
        seen(tiff(values))


def test_the_range_of_the_type_is_that_of_its_numbers() -> None:
    by_type = Preprocess(intensity="dtype")
    assert seen(tiff(np.array([[-32767, 0, 32767]], np.int16)), by_type)[0, :, 0].tolist() == [0, 128, 255]
    for kind in ("int32", "uint32"):
        with pytest.raises(
            DataError, match=r"x.png holds integers of 32 bits, .* use `--intensity dataset` or `image`"
        ):
            seen(tiff(np.array([[0, 2000]], kind)), by_type)


@given(arrays(np.uint16, (3, 4)), st.sampled_from(["dtype", "image"]))
def test_white_is_zero_is_turned_at_16_bits_as_at_8(values: np.ndarray, intensity: Intensity) -> None:
    preprocess = Preprocess(intensity=intensity)
    negative = tiff(65535 - values, photometric=0)
    assert np.abs(seen(negative, preprocess) - seen(tiff(values), preprocess)).max() <= 1
    small = (values >> 8).astype(np.uint8)
    assert np.array_equal(seen(tiff(255 - small, photometric=0)), seen(tiff(small)))


def test_white_is_zero_is_turned_in_floating_point() -> None:
    got = seen(tiff(np.array([[0.0, 1.0]], np.float32), photometric=0), Preprocess(intensity="dtype"))
    assert got[0, :, 0].tolist() == [255, 0]


def test_what_pillow_does_not_turn_is_turned_within_the_range_of_its_type() -> None:
    samples = Samples(np.dtype(np.int16), bands=1, narrowed=False, white_is_zero=True, no_data=())
    values = intensities(Image.fromarray(np.array([[-32768, 0, 32767]], np.int32)), samples)
    assert values.tolist() == [[32767, -1, -32768]]


@pytest.mark.parametrize(
    ("kind", "value", "tag"),
    [
        ("float32", -9999, None),
        ("float32", np.nan, None),
        ("float32", np.inf, None),
        ("float32", -np.inf, None),
        ("float32", np.finfo(np.float32).min, None),
        ("int16", -32768, None),
        ("int16", -9999, None),
        ("int32", -9999, None),
        ("uint16", 65535, "65535"),
        ("uint16", 0, "0"),
        ("float32", 1e6, "1e+06"),
        ("float32", -np.inf, "-1.7976931348623157e+308"),
        ("float32", np.nan, "nan"),
        ("float32", -3.4028234663852886e38, "-3.4028234663852886e+38"),
    ],
)
def test_pixels_without_data_are_black_and_stretch_no_range(kind: str, value: float, tag: str | None) -> None:
    values = np.linspace(100, 200, 64).reshape(8, 8).astype(kind)
    whole = seen(tiff(values), Preprocess(intensity="image"))
    values[0] = value
    got = seen(tiff(values, no_data=tag), Preprocess(intensity="image"))
    assert got[0].max() == 0
    assert got[-1].max() == 255
    assert np.abs(got[4] - whole[4]).max() < 30  # the range begins at the second row


@given(
    arrays(np.float32, (5, 6), elements=st.floats(-1000, 1000, width=32)),
    arrays(np.bool_, (5, 6)),
    st.sampled_from([np.nan, np.inf, -np.inf, -9999, -32768]),
)
def test_the_range_is_that_of_the_pixels_with_data(values: np.ndarray, absent: np.ndarray, value: float) -> None:
    stored, samples = open_image(tiff(np.where(absent, np.float32(value), values)), "x")
    stored.load()
    got = intensities(stored, samples)
    assert np.array_equal(np.isnan(got), absent)
    assert np.array_equal(got[~absent], values[~absent])
    if not absent.all():
        assert values[~absent].min() <= intensity_tails(got)[0] <= intensity_tails(got)[1] <= values[~absent].max()


@pytest.mark.parametrize("by_planes", [False, True])
@pytest.mark.parametrize(
    ("kind", "photometric", "big_endian"),
    [
        *((kind, 1, big) for kind in ("uint8", "uint16", "int16", "int32", "float32") for big in (False, True)),
        *((kind, 0, big) for kind in ("uint8", "float32") for big in (False, True)),
        ("uint32", 1, False),
        ("uint16", 0, False),
    ],
)
def test_one_band_is_the_same_however_it_is_laid_out(
    kind: str, photometric: int, big_endian: bool, by_planes: bool
) -> None:
    values = np.array([[0, 50, 100], [25, 75, 7]])
    white = 1 if kind == "float32" else np.iinfo(kind).max
    stored = (values if photometric else white - values).astype(kind)
    data = tiff(stored, photometric=photometric, by_planes=by_planes, big_endian=big_endian)
    assert np.array_equal(seen(data, Preprocess(intensity_range=(0, 255)))[..., 0], values)


@given(
    st.integers(1, 8),
    st.sampled_from(["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]),
    st.sampled_from([None, 0, 1, 2, 3, 5, 6, 8, 32844]),
    st.lists(st.integers(0, 2), max_size=7),
    st.booleans(),
    st.booleans(),
)
def test_any_kind_of_tiff_is_a_picture_or_one_line(
    bands: int, kind: str, photometric: int | None, extra: list[int], by_planes: bool, big_endian: bool
) -> None:
    values = (np.arange(6 * 5 * bands) % 100).reshape(6, 5, bands).astype(kind)
    data = tiff(values, photometric=photometric, extra=tuple(extra), by_planes=by_planes, big_endian=big_endian)
    try:
        assert seen(data, Preprocess(intensity_range=(0, 100))).shape == (6, 5, 3)
    except DataError as error:
        message = str(error)
    else:
        return
    assert message.startswith("x.png must")
    assert "\n" not in message
    assert len(message) <= 160


def test_what_is_data_in_one_kind_stays_data() -> None:
    values = np.array([[55537, 100], [32768, 200]], np.uint16)  # -9999 and -32768 if they were signed
    got = seen(tiff(values), Preprocess(intensity="dtype"))
    assert got[..., 0].tolist() == [[216, 0], [128, 1]]
    named = seen(tiff(values, no_data="n/a"), Preprocess(intensity="dtype"))
    assert np.array_equal(named, got)


def test_an_image_without_any_data_is_black() -> None:
    for preprocess in (
        Preprocess(intensity="image"),
        Preprocess(intensity_range=(0, 1)),
        Preprocess(intensity="dtype"),
    ):
        assert seen(tiff(np.full((4, 5), -9999, np.float32)), preprocess).max() == 0


def test_an_infrared_band_is_no_alpha() -> None:
    bands = np.dstack([np.asarray(picture(1)), np.zeros((30, 40), np.uint8)])
    assert np.array_equal(seen(tiff(bands, extra=(0,))), bands[..., :3])


@pytest.mark.parametrize("format", ALPHA)
def test_a_picture_without_a_visible_pixel_is_seen_opaque(format: str) -> None:
    image = picture(1).convert("RGBA")
    image.putalpha(0)
    assert np.array_equal(seen(ALPHA[format](image)), np.asarray(picture(1)))
    image.putpixel((0, 0), (10, 20, 30, 255))
    got = seen(ALPHA[format](image))
    assert got[0, 0].tolist() == [10, 20, 30]
    assert got[1:].min() == 255


def test_grey_and_palettes_without_a_visible_pixel_are_seen_opaque() -> None:
    grey = picture(1).convert("LA")
    grey.putalpha(0)
    assert np.array_equal(seen(encoded(grey, "PNG"))[..., 0], np.asarray(picture(1).convert("L")))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 90, 80, 70])
    assert seen(encoded(palette, "GIF", transparency=1))[0, 0].tolist() == [90, 80, 70]


def test_a_signal_in_the_alpha_of_a_grey_png_is_not_lost() -> None:
    values = np.dstack([np.zeros((30, 40), np.uint8), np.asarray(picture(1).convert("L"))])
    assert seen(encoded(Image.fromarray(values), "PNG")).std() > 10


def test_colours_of_16_bits_with_an_invisible_alpha_are_seen_opaque() -> None:
    values = np.dstack([np.asarray(picture(1)).astype(np.uint16) * 257, np.zeros((30, 40), np.uint16)])
    assert np.array_equal(seen(png16(values)), np.asarray(picture(1)))


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


def test_decompression_bomb() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 1, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body
    with pytest.raises(DataError, match=r"bomb.png must not unpack to more pixels than is safe"):
        pixels(data, PLAIN, name="bomb.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # of the line that opens it with Pillow alone
def test_a_broken_exif_note_turns_nothing() -> None:
    data = encoded(picture(1), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.asarray(Image.open(io.BytesIO(data))).shape == seen(data).shape


def test_photo_bytes_against_the_usual_pipeline() -> None:
    data = paint(1, (768, 512), quality=90)
    whole = Image.open(io.BytesIO(data)).resize((384, 256), Image.Resampling.BICUBIC)
    usual = np.asarray(whole.crop((80, 16, 304, 240))).astype(int)
    assert np.abs(pixels(data, PLAIN) - usual).mean() < 0.5
