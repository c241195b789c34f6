#!/bin/sh
# A browser turns a JPEG, a PNG and an AVIF as their EXIF note says, but not a WebP: a converted photo lies on its side.
#
# Versions: Chromium 156 (Debian 12; Firefox 153 does the same), pillow 13.0.0 as the writer; Linux x86-64, Python 3.11.
# A browser cannot be pinned here: the script takes the Chromium on the path, and prints its version.
# One picture of 60 x 40 (width x height), stored with orientation 6 (to be shown as 40 x 60), in four formats. Guess:
# an <img> shows all of them turned, as CSS Images says. Seen (createImageBitmap with "from-image" does the same):
#            <img>    Pillow's exif_transpose
#   JPEG     turned   turned
#   PNG      turned   turned
#   AVIF     turned   turned
#   WebP     stored   turned
# Who classifies in a browser what was trained with Pillow (or OpenCV, which turns WebP, too) sees another image, with
# no error, in this one format. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo "needs Chromium on the path"
    exit 1
}
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet pillow==13.0.0
"$place/venv/bin/python" - "$place/page.html" <<'PYTHON'
import base64
import io
import sys

from PIL import Image, ImageOps

files = {}
for kind in ("JPEG", "PNG", "AVIF", "WEBP"):
    exif = Image.Exif()  # a new one each time: the writer of AVIF takes the orientation out
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(file, kind, exif=exif)
    assert ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue()))).size == (40, 60), kind
    files[f"image/{kind.lower()}"] = base64.b64encode(file.getvalue()).decode()
images = "".join(f'<img id="{type}" src="data:{type};base64,{text}">' for type, text in files.items())
with open(sys.argv[1], "w") as page:
    page.write(
        f"""<!doctype html>{images}<pre id="said"></pre><script>
onload = () => {{
  for (const image of document.images)
    said.textContent += `${{image.id}}: ${{image.naturalWidth}} x ${{image.naturalHeight}}\\n`;
}};
</script>"""
    )
PYTHON
"$browser" --version 2>/dev/null
"$browser" --headless --no-sandbox --disable-gpu --virtual-time-budget=5000 --user-data-dir="$place/profile" \
    --dump-dom "file://$place/page.html" 2>/dev/null | sed 's/.*<pre[^>]*>//' | grep "^image/[a-z]*: [0-9]" >"$place/said"
cat "$place/said"
for kind in jpeg png avif; do
    grep -q "image/$kind: 40 x 60" "$place/said" || { echo "$kind: another behaviour now"; exit 1; }
done
grep -q "image/webp: 60 x 40" "$place/said" || { echo "WebP: another behaviour now"; exit 1; }
