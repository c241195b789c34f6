"""Small image files made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Smooth random colours, one picture a seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def paint(seed: int, size: tuple[int, int] = (40, 30), format: str = "JPEG", **options: object) -> bytes:
    """The bytes of an image file with such a picture."""
    return encoded(picture(seed, size), format, **options)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    """Write a file in a folder that need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def png16(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG with 16 bits a channel, which Pillow cannot write, of (h, w, 1 to 4) values."""
    height, width, channels = pixels.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(
    pixels: np.ndarray,
    *,
    photometric: int | None = None,
    extra: tuple[int, ...] = (),
    by_planes: bool = False,
    big_endian: bool = False,
    no_data: str | None = None,
) -> bytes:
    """The bytes of an uncompressed TIFF of (h, w) or (h, w, bands) values of any type.

    ``photometric`` is 0 for "white is zero", 1 for grey and 2 for RGB (1 or 2 unless given), ``extra`` the meaning of
    each further band, ``no_data`` what GDAL calls so.
    """
    bands = pixels.reshape(*pixels.shape[:2], -1)
    height, width, n = bands.shape
    order = ">" if big_endian else "<"
    strips = [
        np.ascontiguousarray(part).astype(pixels.dtype.newbyteorder(order)).tobytes()
        for part in (np.moveaxis(bands, -1, 0) if by_planes else [bands])
    ]
    begins = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    short, long, text = 3, 4, 2
    tags: list[tuple[int, int, list[int]]] = [
        (256, long, [width]), (257, long, [height]), (258, short, [8 * pixels.dtype.itemsize] * n), (259, short, [1]),
        (262, short, [(2 if n >= 3 else 1) if photometric is None else photometric]), (273, long, begins),
        (277, short, [n]), (278, long, [height]), (279, long, [len(strip) for strip in strips]),
        (284, short, [2 if by_planes else 1]), (338, short, list(extra)),
        (339, short, [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]] * n),
        (42113, text, list(f"{no_data}\0".encode()) if no_data is not None else []),
    ]  # fmt: skip
    tags = [tag for tag in tags if tag[2]]
    body = b"".join(strips)
    entries = b""
    for number, kind, values in tags:
        data = struct.pack(f"{order}{len(values)}{ {short: 'H', long: 'I', text: 'B'}[kind] }", *values)
        if len(data) > 4:
            data, body = struct.pack(f"{order}I", 8 + len(body)), body + data + b"\0" * (len(data) % 2)
        entries += struct.pack(f"{order}HHI", number, kind, len(values)) + data.ljust(4, b"\0")
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(f"{order}I", 8 + len(body))
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)


def bmp_v4(image: Image.Image) -> bytes:
    """The bytes of a BMP with alpha (header version 4), which Pillow reads but does not write, of an RGBA image."""
    rows = np.asarray(image)[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    sizes = struct.pack("<IiiHHIIiiII", 108, *image.size, 1, 32, 3, len(rows), 2835, 2835, 0, 0)
    header = sizes + masks + b"BGRs" + b"\0" * 48
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(rows), 0, 0, 14 + len(header)) + header + rows


ALPHA = {
    "PNG": lambda image: encoded(image, "PNG"),
    "WEBP": lambda image: encoded(image, "WEBP", lossless=True, exact=True),
    "TIFF": lambda image: encoded(image, "TIFF"),
    "BMP": bmp_v4,
}
"""Formats that hold an RGBA image, each with what encodes it."""
