#!/bin/sh
# Which pictures OpenCV turns upright depends on format and function: AVIF stays lying, TIFF is not read from a path.
#
# Versions: opencv-python-headless 5.0.0.93 (4.13.0.92 and 4.14.0.94 do the same), pillow 13.0.0 as the writer, numpy
# 2.4.6; Linux x86-64, Python 3.11.
# One picture of 40 x 60 (rows x columns), stored with orientation 6 (to be shown as 60 x 40), in five formats. Guess:
# cv2.imread turns all of them, as documented for Exif, and cv2.imdecode of the same bytes gives the same. Seen:
#            imread   imdecode   imread with IMREAD_IGNORE_ORIENTATION
#   JPEG     turned   turned     as stored
#   PNG      turned   turned     as stored
#   WebP     turned   turned     as stored
#   AVIF     stored   stored     as stored       (its turn is in the box `irot`, which Pillow reports as orientation)
#   TIFF     None     turned     None            (only where the turn swaps height and width)
# None comes with a line on stderr and no exception: a loader that skips what it cannot read loses every such TIFF. A
# data set of several formats, or one converted to AVIF, gives lying pictures. The script fails if any of this changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
"$place/venv/bin/python" - "$place" 2>"$place/stderr" <<'PYTHON' || { cat "$place/stderr"; exit 1; }
import pathlib
import sys

import cv2
import numpy as np
from PIL import Image, ImageOps

pixels = np.zeros((40, 60, 3), np.uint8)
pixels[:20] = 255  # light above, as stored; at the right once it is turned
expected = {
    "jpg": ("turned", "turned", "stored"),
    "png": ("turned", "turned", "stored"),
    "webp": ("turned", "turned", "stored"),
    "avif": ("stored", "stored", "stored"),
    "tif": ("None", "turned", "None"),
}


def how(image):
    if image is None:
        return "None"
    if image.shape == (40, 60, 3):
        return "stored"
    light_at_right = image[:, 30:].mean() > 200 and image[:, :10].mean() < 50
    return "turned" if image.shape == (60, 40, 3) and light_at_right else "otherwise"


for suffix, row in expected.items():
    path = pathlib.Path(sys.argv[1]) / f"picture.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif)
    with Image.open(path) as image:
        assert how(np.asarray(ImageOps.exif_transpose(image))) == "turned", "the file must be valid"
    data = np.frombuffer(path.read_bytes(), np.uint8)
    seen = (
        how(cv2.imread(str(path))),
        how(cv2.imdecode(data, cv2.IMREAD_COLOR)),
        how(cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)),
    )
    print(f"{suffix}: imread {seen[0]}, imdecode {seen[1]}, imread without orientation {seen[2]}")
    assert seen == row, "OpenCV behaves differently now"
PYTHON
