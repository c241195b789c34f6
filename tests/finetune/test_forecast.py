"""What a fine-tuning takes is told from a few steps, and a higher cut takes less."""

from __future__ import annotations

from collections.abc import Callable

from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune.forecast import forecast


def test_kept_activations_take_less_than_passing_through_the_network(
    random_card: Callable[[str], BackboneCard],
) -> None:
    card = random_card("resnet10t")
    whole = forecast(card, Recipe(None, epochs=1, batch_size=16), 3)
    kept = forecast(card, Recipe("layer3", epochs=1, batch_size=16, cached_augmentations=4), 3)
    assert 0 < kept < whole
