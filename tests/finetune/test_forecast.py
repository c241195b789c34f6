"""The time of a fine-tuning is forecast from a few steps, and these steps do what the training will do."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune import forecast
from graftwork.finetune.cut import cut_of
from graftwork.finetune.forecast import seconds_per_image, seconds_per_image_of
from graftwork.finetune.pretrained import pretrained


def operations(card: BackboneCard, recipe: Recipe) -> int:
    """Operations of the timed steps: unlike their seconds, the same on a busy machine."""
    with FlopCounterMode(display=False) as counter:
        assert seconds_per_image(card, recipe, 3) > 0
    return int(counter.get_total_flops())


def test_cached_activations_are_timed_without_the_layers_below_the_cut(
    random_card: Callable[[str], BackboneCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "ENOUGH_SECONDS", math.inf)  # also on a busy machine
    card = random_card("resnet10t")
    cut_of(card, "layer3")  # found once per card and layer, in a forward pass that is not timed
    pretrained(card)  # so is what can be folded
    whole = operations(card, Recipe(None, epochs=1, batch_size=16))
    frozen = operations(card, Recipe("layer3", epochs=1, batch_size=16))
    cached = operations(card, Recipe("layer3", epochs=1, batch_size=16, cached_augmentations=4))
    assert 0 < cached < frozen < whole


def test_on_a_slow_machine_one_step_tells(
    random_card: Callable[[str], BackboneCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    card, recipe = random_card("resnet10t"), Recipe(None, epochs=1, batch_size=2)
    pretrained(card)
    monkeypatch.setattr(forecast, "ENOUGH_SECONDS", math.inf)
    all_steps = operations(card, recipe)
    monkeypatch.setattr(forecast, "ENOUGH_SECONDS", 1e-9)
    assert operations(card, recipe) * forecast.STEPS == all_steps


def test_a_pace_is_measured_once_and_one_of_them_tells_how_fast_the_machine_is_today(
    random_card: Callable[[str], BackboneCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path))
    trainings = [(random_card("resnet10t"), Recipe(layer, epochs=1)) for layer in (None, "layer3", "layer2")]
    slowness = 1.0
    measured: list[str | None] = []

    def pace(card: BackboneCard, recipe: Recipe, n_classes: int) -> float:
        measured.append(recipe.freeze_to)
        return slowness * {None: 0.4, "layer3": 0.1, "layer2": 0.2}[recipe.freeze_to]

    monkeypatch.setattr(forecast, "seconds_per_image", pace)
    assert seconds_per_image_of(trainings[:2], 3, lambda seconds: True) == [0.4, 0.1]
    slowness = 2.0
    assert seconds_per_image_of(trainings, 3, lambda seconds: True) == [0.8, 0.2, 0.4]
    assert measured == [None, "layer3", "layer3", "layer2"]
    assert seconds_per_image_of(trainings, 3, lambda seconds: False) == [0.4, 0.1, 0.4]
    other = [(card, Recipe(recipe.freeze_to, epochs=1, batch_size=8)) for card, recipe in trainings]
    assert seconds_per_image_of(other, 3, lambda seconds: False) == [None, None, None]
    # there is time for the first, and none for another that takes as long
    assert seconds_per_image_of(other, 3, lambda seconds: seconds == 0) == [0.8, None, None]
