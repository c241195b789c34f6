"""How many views of the images a time limit allows, and what is trained on them."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from graftwork.clock import Clock
from graftwork.core.plans import Candidate, Linear, recipe_of
from graftwork.core.recipes import recipe
from graftwork.core.trials import Task
from graftwork.steps import time_limit

IMAGES = 100
TASK = Task(np.arange(IMAGES) % 2, np.arange(IMAGES), np.arange(IMAGES) % 5, ("ant", "bee"), seed=0)
ABOVE = Candidate("network", ("pooled",), recipe(IMAGES, "blocks.4", cached=True))
WHOLE = Candidate("network", ("pooled",), recipe(IMAGES))
CHOSEN = Candidate("network", ("pooled",), Linear("softmax", "standard"))
BACKBONES = SimpleNamespace(forecast_seconds=lambda name, images, input_px=None: images / 20)
"""One view of the images takes 5 seconds."""


@pytest.mark.parametrize(
    ("left_seconds", "views", "more"), [(math.inf, 8, 8), (200, 8, 8), (60, 6, 8), (11, 1, 5), (4, 1, 3), (-5, 1, 3)]
)
def test_views_take_half_of_the_time_and_more_of_them_all_of_it(
    left_seconds: float, views: int, more: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "left", lambda clock: left_seconds)
    clock = Clock(left_seconds if left_seconds == math.inf else 60, tmp_path / "clock.json")
    assert time_limit.views_within(CHOSEN, IMAGES, 0, BACKBONES, clock) == views
    assert time_limit.views_within(CHOSEN, IMAGES, 0, BACKBONES, clock, share=1, done=3) == more


@pytest.mark.parametrize(("to_extract", "views"), [(25, 6), (100, 6), (400, 2), (4000, 1)])
def test_views_leave_time_for_the_images_that_the_final_model_will_see(
    to_extract: int, views: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "left", lambda clock: 60.0)
    clock = Clock(60, tmp_path / "clock.json")
    assert time_limit.views_within(CHOSEN, IMAGES, to_extract, BACKBONES, clock) == views


def test_a_fine_tuning_is_trained_on_no_more_views_than_there_are() -> None:
    above, whole = time_limit.with_views([ABOVE, WHOLE], 3)
    assert recipe_of(above).cached_augmentations == 3
    assert whole == WHOLE
    assert time_limit.with_views([ABOVE], 8) == (ABOVE,)
