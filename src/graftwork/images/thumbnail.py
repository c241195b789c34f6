"""Images as the small pictures that a report shows."""

from __future__ import annotations

import io

from PIL import Image

THUMBNAIL_PX = 96
"""Longer side of a thumbnail."""


def thumbnail(image: Image.Image) -> bytes:
    """JPEG of a decoded image in RGB; a tiny one is enlarged in whole pixels, not blurred."""
    small = image.copy()
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    if max(small.size) < THUMBNAIL_PX:
        scale = THUMBNAIL_PX // max(small.size)
        small = small.resize((small.width * scale, small.height * scale), Image.Resampling.NEAREST)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return out.getvalue()
