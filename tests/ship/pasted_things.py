"""Images of which it is known where the thing is that tells the classes apart, and a model of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import graftwork
from graftwork.core.record import Run
from graftwork.testing import tiny_image

WIDTH, HEIGHT, THING_PX = 144, 112, 36


class Pasted(NamedTuple):
    """A run on images with known places."""

    run: Run
    data: Path
    boxes: dict[str, tuple[int, int, int, int]]
    """Left, top, right and bottom of the thing, by the name of the image."""


def pasted_things(place: Path) -> Pasted:
    """Train on the embedded network at 96 px, all its layers under the head."""
    boxes = {}
    for label, name in enumerate(("ring", "stripe", "weave")):
        (place / "things" / name).mkdir(parents=True)
        for i in range(24):
            rng = np.random.default_rng([label, i])
            # in the middle square, which the crop keeps
            x, y = (int(lowest + rng.integers(HEIGHT - 28 - THING_PX)) for lowest in ((WIDTH - HEIGHT) // 2 + 14, 14))
            pixels = background(1000 * label + i)
            pixels[y : y + THING_PX, x : x + THING_PX] = tiny_image(label, i, THING_PX)
            file = f"{name}/{i:02}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(place / "things" / file)
            boxes[file] = (x, y, x + THING_PX, y + THING_PX)
    run = graftwork.train(
        place / "things", output=place / "run", strategy="linear", layer="all", loss="softmax", input_px=96, test=0.25
    )
    return Pasted(run, place / "things", boxes)


def background(seed: int) -> np.ndarray:
    """(h, w, 3) blurred colours that say nothing of a class."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(60, 200, (7, 9, 3), dtype=np.uint8))
    noise = rng.integers(-12, 13, (HEIGHT, WIDTH, 3))
    return np.clip(np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) + noise, 0, 255)
