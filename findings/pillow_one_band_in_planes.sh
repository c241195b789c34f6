#!/bin/sh
# A TIFF of one band that says it is stored in planes (PlanarConfiguration = 2) is decoded wrongly, without a word.
#
# Versions: Pillow 13.0.0, tifffile 2026.3.3 as a second reader, numpy 2.4.6; Linux x86-64, Python 3.11.
# With one band, planes and chunks are the same bytes, and the TIFF 6.0 specification allows either value of the tag;
# scientific programs write 2. Guess: the tag changes nothing. Seen: with 2, Pillow takes the raw mode of a band from its
# table of planes, which knows neither sign, nor byte order, nor "white is zero":
#   int16 little-endian, values -1000..1000   -> tifffile right, Pillow's values are those of uint16
#   float32 big-endian                        -> tifffile right, Pillow's values are garbage
#   uint8, MinIsWhite                         -> Pillow inverts it with tag value 1, and does not with 2
# With PlanarConfiguration = 1 the same bytes are right. The script fails if any of this changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import io
import struct

import numpy as np
import tifffile
from PIL import Image


def tiff(pixels, order, planar, photometric, sample_format):
    """An uncompressed TIFF of one strip."""
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    height, width = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    short = [
        (258, bits), (259, 1), (262, photometric), (277, 1), (284, planar), (339, sample_format)
    ]
    long = [(256, width), (257, height), (273, 8), (278, height), (279, len(data))]
    entries = [(tag, 3, struct.pack(order + "HH", value, 0)) for tag, value in short]
    entries += [(tag, 4, struct.pack(order + "I", value)) for tag, value in long]
    directory = struct.pack(order + "H", len(entries))
    for tag, kind, value in sorted(entries):
        directory += struct.pack(order + "HHI", tag, kind, 1) + value
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8 + len(data)) + data + directory + struct.pack(order + "I", 0)


ramp = np.linspace(-1000, 1000, 64).reshape(8, 8)
cases = {
    "int16 little-endian": (ramp.astype(np.int16), "<", 1, 2),
    "float32 big-endian": (ramp.astype(np.float32), ">", 1, 3),
    "uint8 MinIsWhite": (np.arange(64, dtype=np.uint8).reshape(8, 8), "<", 0, 1),
}
for name, (pixels, order, photometric, sample_format) in cases.items():
    right = 255 - pixels if photometric == 0 else pixels
    for planar in (1, 2):
        data = tiff(pixels, order, planar, photometric, sample_format)
        assert np.array_equal(tifffile.imread(io.BytesIO(data)), pixels), "the file must be valid"
        same = np.array_equal(np.asarray(Image.open(io.BytesIO(data))), right)
        print(f"{name}, PlanarConfiguration {planar}: {'right' if same else 'wrong'}")
        assert same == (planar == 1), "Pillow behaves differently now"
PYTHON
