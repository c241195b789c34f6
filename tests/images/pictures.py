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


def tiff16(pixels: np.ndarray, *, by_planes: bool = False) -> bytes:
    """The bytes of a TIFF with 16 bits a colour of (h, w, 3) values, pixel by pixel or plane by plane."""
    height, width, _ = pixels.shape
    planes = [pixels[..., c] for c in range(3)] if by_planes else [pixels]
    strips = [plane.astype("<u2").tobytes() for plane in planes]
    long, short = 4, 3
    tags: list[tuple[int, int, list[int]]] = [
        (256, long, [width]), (257, long, [height]), (258, short, [16, 16, 16]), (259, short, [1]), (262, short, [2]),
        (273, long, []), (277, short, [3]), (278, long, [height]), (279, long, [len(strip) for strip in strips]),
        (284, short, [2 if by_planes else 1]),
    ]  # fmt: skip
    end = 8 + 2 + 12 * len(tags) + 4  # what does not fit into a tag follows them: three numbers of bits, and strips
    lists_end = end + 3 * 2 + 2 * 4 * len(strips)
    begins = [lists_end + sum(map(len, strips[:i])) for i in range(len(strips))]
    entries = behind = b""
    for number, kind, values in tags:
        values = begins if number == 273 else values
        data = struct.pack(f"<{len(values)}{'I' if kind == long else 'H'}", *values)
        if len(data) > 4:
            entries += struct.pack("<HHII", number, kind, len(values), end + len(behind))
            behind += data
        else:
            entries += struct.pack("<HHI", number, kind, len(values)) + data.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + behind
    return head.ljust(lists_end, b"\0") + b"".join(strips)
