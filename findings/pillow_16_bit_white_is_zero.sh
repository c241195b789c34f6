#!/bin/sh
# A grey TIFF of 16 bits whose zero is white (PhotometricInterpretation = 0) is decoded as a negative; one of 8 bits is not.
#
# Versions: Pillow 13.0.0, tifffile 2026.3.3 as the writer, numpy 2.4.6; Linux x86-64, Python 3.11.
# Scanners and X-ray archives write such files. Guess: Pillow, which turns 8 bits, turns 16 bits too.
# Seen: the same picture saved with 8 and with 16 bits comes back bright where it is bright (8) and bright where it is dark
# (16), with no warning; a folder that mixes both kinds of file teaches a classifier the wrong thing.
# The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import tifffile
from PIL import Image

shown = np.linspace(0, 255, 64).reshape(8, 8).astype(np.uint8)  # what a viewer must show: dark at the top
for bits, stored in ((8, 255 - shown), (16, 65535 - shown.astype(np.uint16) * 257)):
    file = io.BytesIO()
    tifffile.imwrite(file, stored, photometric="miniswhite")
    pixels = np.asarray(Image.open(io.BytesIO(file.getvalue()))).astype(float)
    slope = np.corrcoef(pixels.ravel(), shown.ravel())[0, 1]
    print(f"{bits} bits, white is zero: correlation with what a viewer shows {slope:+.0f}")
    assert round(slope) == (1 if bits == 8 else -1), "Pillow behaves differently now"
PYTHON
