"""Views: a view of an image is data (a box, a flip), the same for every image."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class View:
    """A part of the image, perhaps mirrored, that is prepared as if it were the image."""

    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Left, top, right, bottom as fractions of the image's width and height."""
    flip: bool = False
    """Mirrored left to right."""


_STREAM = 8
"""Of random numbers, whatever the number of views: the one that eight views had when everything was measured."""


def views(k: int, seed: int) -> tuple[View | None, ...]:
    """The plain view (None) and ``k - 1`` others, the same for every image and every call.

    The others come in mirrored pairs: first the plain view mirrored, then boxes of 50 to 90 % of each side at
    random places, each paired with the mirror image of another place. Fewer views are the first of more: where the
    codes of some are cached, more of them cost the difference.

    Raises
    ------
    ValueError
        When ``k`` is less than 1.
    """
    if k < 1:
        raise ValueError(f"an image must be seen at least once, but k = {k}")
    rng = np.random.default_rng([seed, _STREAM])
    drawn: list[View | None] = [None]
    for number in range(1, k):
        if number == 1:
            drawn.append(View(flip=True))
            continue
        width, height = rng.uniform(0.5, 0.9, size=2).tolist()
        left, top = (rng.random(2) * (1 - np.array([width, height]))).tolist()
        drawn.append(View((left, top, left + width, top + height), flip=number % 2 == 1))
    return tuple(drawn)


def random_view(rng: np.random.Generator) -> View:
    """A box of 35 to 100 % of the image's area with sides up to 4 : 3 off, at a random place, mirrored or not."""
    area, stretch = rng.uniform(0.35, 1.0), np.exp(rng.uniform(-1, 1) * np.log(4 / 3) / 2)
    width, height = (min(1.0, float(side)) for side in (area**0.5 * stretch, area**0.5 / stretch))
    left, top = (rng.random(2) * (1 - np.array([width, height]))).tolist()
    return View((left, top, left + width, top + height), flip=bool(rng.random() < 0.5))
