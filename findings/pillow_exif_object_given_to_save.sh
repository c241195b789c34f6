#!/bin/sh
# An orientation in an Exif object given to save() is not heard by HEIC, and AVIF takes it out of the caller's object.
#
# Versions: pillow 13.0.0, pillow-heif 1.8.1; Linux x86-64, Python 3.11.
# Guess: save(exif=note) gives, in every format, a file that stands upright once it is opened and exif_transpose is called,
# whether note is an Image.Exif or its bytes, and leaves note as it was. Seen, with orientation 6 and an 80 x 40 picture:
#   JPEG, PNG, WebP      40 x 80 either way; the note is as it was
#   AVIF                 40 x 80 either way; an Exif object comes back without its orientation
#   HEIC, from bytes     40 x 80 (a rotation is written)
#   HEIC, from an Exif   80 x 40: no rotation is written, opening sets the note to 1, and the picture lies on its side
# So a loop that saves photographs with one Exif object turns those before the first AVIF and not those after it, and
# never the HEICs. Bytes (note.tobytes()) are safe everywhere.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet pillow-heif==1.8.1 pillow==13.0.0
"$place/venv/bin/python" - <<'PYTHON'
import io

from PIL import Image, ImageOps
from pillow_heif import register_heif_opener

register_heif_opener()
ORIENTATION = 0x0112


def saved(kind, as_bytes):
    """The size once saved, opened and turned by its note; and whether the note still has its orientation."""
    note, file = Image.Exif(), io.BytesIO()
    note[ORIENTATION] = 6
    Image.new("RGB", (80, 40), "blue").save(file, kind, exif=note.tobytes() if as_bytes else note)
    return ImageOps.exif_transpose(Image.open(file)).size, note.get(ORIENTATION) == 6


turned, lying = (40, 80), (80, 40)
for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF"):
    seen = {as_bytes: saved(kind, as_bytes) for as_bytes in (True, False)}
    print(kind, "from bytes:", *seen[True], " from an Exif:", *seen[False])
    assert seen[True] == (turned, True), kind
    assert seen[False] == (lying if kind == "HEIF" else turned, kind != "AVIF"), kind
print("as described")
PYTHON
