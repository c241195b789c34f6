"""How a time limit is divided between views of the images and the training of a fold."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from graftwork.clock import Clock
from graftwork.core.plans import Candidate, recipe_of
from graftwork.core.recipes import recipe
from graftwork.core.schedule import Forecast
from graftwork.core.trials import Task
from graftwork.steps import time_limit

IMAGES = 100
TASK = Task(np.arange(IMAGES) % 2, np.arange(IMAGES), np.arange(IMAGES) % 5, ("ant", "bee"), seed=0)
ABOVE = Candidate("network", ("pooled",), recipe(IMAGES, "blocks.4", cached=True))
WHOLE = Candidate("network", ("pooled",), recipe(IMAGES))
RESULT = SimpleNamespace(chosen=SimpleNamespace(candidate=Candidate("network", ("pooled",), ABOVE.plan)))
BACKBONES = SimpleNamespace(forecast_seconds=lambda name, images, input_px=None: images / 20)
"""One view of the images to develop on takes 5 seconds, and one of 20 to test on a second."""


@pytest.mark.parametrize(
    ("left_seconds", "fold_seconds", "views"),
    [
        (math.inf, 60, 8),
        (200, 60, 8),
        (60, 30, 5),  # a fold leaves 30 seconds, at 6 a view; half of the time would be 6 views
        (60, 54, 1),
        (60, 100, 6),  # no fold is possible: half of the time
        (8, 100, 1),
    ],
)
def test_views_take_half_of_the_time_or_what_a_fold_leaves(
    left_seconds: float, fold_seconds: float, views: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = recipe_of(ABOVE).epochs
    monkeypatch.setattr(
        time_limit,
        "forecasts_of",
        lambda candidates, *rest: {c.key: Forecast(5, fold_seconds / epochs) for c in candidates},
    )
    monkeypatch.setattr(Clock, "left", lambda clock: left_seconds)
    clock = Clock(left_seconds, tmp_path / "clock.json")
    given = time_limit.views_within(RESULT, [ABOVE, WHOLE], TASK, BACKBONES, clock, to_extract=20)
    assert given == views


def test_where_nothing_is_trained_above_a_cut_views_take_half_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "forecasts_of", lambda candidates, *rest: {c.key: 1 / 0 for c in candidates})
    monkeypatch.setattr(Clock, "left", lambda clock: 60.0)
    clock = Clock(60, tmp_path / "clock.json")
    assert time_limit.views_within(RESULT, [WHOLE], TASK, BACKBONES, clock, to_extract=20) == 6


def test_a_fine_tuning_is_trained_on_no_more_views_than_there_are() -> None:
    above, whole = time_limit.with_views([ABOVE, WHOLE], 3)
    assert recipe_of(above).cached_augmentations == 3
    assert whole == WHOLE
    assert time_limit.with_views([ABOVE], 8) == (ABOVE,)
