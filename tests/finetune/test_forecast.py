"""The time of a fine-tuning is forecast from a few steps, and these steps do what the training will do."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode

from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune.cut import cut_of
from graftwork.finetune.forecast import seconds_per_image
from graftwork.finetune.pretrained import pretrained


def operations(card: BackboneCard, recipe: Recipe) -> int:
    """Operations of the timed steps: unlike their seconds, the same on a busy machine."""
    with FlopCounterMode(display=False) as counter:
        assert seconds_per_image(card, recipe, 3) > 0
    return int(counter.get_total_flops())


def test_cached_activations_are_timed_without_the_layers_below_the_cut(
    random_card: Callable[[str], BackboneCard],
) -> None:
    card = random_card("resnet10t")
    cut_of(card, "layer3")  # found once per card and layer, in a forward pass that is not timed
    pretrained(card)  # so is what can be folded
    whole = operations(card, Recipe(None, epochs=1, batch_size=16))
    frozen = operations(card, Recipe("layer3", epochs=1, batch_size=16))
    cached = operations(card, Recipe("layer3", epochs=1, batch_size=16, cached_augmentations=4))
    assert 0 < cached < frozen < whole
