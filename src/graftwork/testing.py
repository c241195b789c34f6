"""Public fakes: small images that a network can tell apart, for tests that need no download and no GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def tiny_image(label: int, seed: int, size_px: int = 32) -> NDArray[np.uint8]:
    """(size_px, size_px, 3) stripes whose direction and colour follow the label, under noise that follows the seed."""
    rng = np.random.default_rng([label, seed])
    y, x = np.mgrid[:size_px, :size_px]
    angle = label * np.pi / 5
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi / 8 + rng.uniform(0, 6))
    colour = 110 + 60 * np.cos(label * 2.1 + np.array([0, 2.1, 4.2]))
    noise = rng.normal(0, 25, (size_px, size_px, 3))
    return np.clip(colour + 60 * wave[..., None] + noise, 0, 255).astype(np.uint8)


def write_tiny_images(
    folder: Path,
    *,
    classes: tuple[str, ...] = ("ant", "bee", "cat"),
    per_class: int = 20,
    size_px: int = 32,
    seed: int = 0,
) -> Path:
    """Write class folders of small PNG images, and return the folder."""
    from PIL import Image

    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            image = Image.fromarray(tiny_image(label, seed * 10_000 + i, size_px))
            image.save(folder / name / f"{name}-{i:03}.png")
    return folder
