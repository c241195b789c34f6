"""The time of a fine-tuning is forecast from a few steps, and a higher cut takes less."""

from __future__ import annotations

from collections.abc import Callable

from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune.forecast import seconds_per_image


def test_cached_activations_take_less_than_running_the_network(
    random_card: Callable[[str], BackboneCard],
) -> None:
    card = random_card("resnet10t")
    network = seconds_per_image(card, Recipe(None, epochs=1, batch_size=16), 3)
    cached = seconds_per_image(card, Recipe("layer3", epochs=1, batch_size=16, cached_augmentations=4), 3)
    assert 0 < cached < network
