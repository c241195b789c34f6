"""How fine-tuning is done, and which layers are frozen, from what a user says."""

from __future__ import annotations

import dataclasses

import pytest

from graftwork.core.facts import BackboneCard, Preprocess, Tap
from graftwork.core.options import FineTuneOptions
from graftwork.core.recipes import fine_tuning_candidates, layer_to_freeze, recipe, smaller_px
from graftwork.errors import BackboneError, UsageError

DEPTHS = {"stem": 0.1, "layer1": 0.3, "layer2": 0.55, "layer3": 0.9, "pooled": 1.0}
CARD = BackboneCard(
    "file:net",
    "file",
    "net",
    "net.safetensors",
    Preprocess(),
    tuple(Tap(n, d, 8) for n, d in DEPTHS.items()),
    gmacs=2.0,
)


@pytest.mark.parametrize(
    ("freeze_to", "layer"),
    [
        ("layer2", "layer2"), ("1", "stem"), ("4", "layer3"), ("10%", "stem"), ("54.9%", "layer1"), ("55%", "layer2"),
        ("99%", "layer3"),
    ],
)  # fmt: skip
def test_where_to_freeze_is_a_name_a_number_or_a_share(freeze_to: str, layer: str) -> None:
    assert layer_to_freeze(CARD, freeze_to) == layer


def test_an_unknown_layer_is_answered_with_near_names() -> None:
    with pytest.raises(
        BackboneError, match=r"must have the layer layr3 .*did you mean layer3 .*choose of stem, layer1"
    ):
        layer_to_freeze(CARD, "layr3")


@pytest.mark.parametrize("freeze_to", ["1.5", "-1", "50 %", "%"])
def test_what_is_no_number_is_no_layer_either(freeze_to: str) -> None:
    with pytest.raises(BackboneError, match="has none"):
        layer_to_freeze(CARD, freeze_to)


@pytest.mark.parametrize("freeze_to", ["pooled", "5", "6", "100%", "150%"])
def test_freezing_everything_says_what_to_do(freeze_to: str) -> None:
    with pytest.raises(UsageError, match=r"leaves no layer of file:net to tune; use --strategy linear"):
        layer_to_freeze(CARD, freeze_to)


@pytest.mark.parametrize("freeze_to", ["0", "0%", "9%"])
def test_freezing_nothing_says_what_to_do(freeze_to: str) -> None:
    with pytest.raises(UsageError, match="leave it out to tune them all"):
        layer_to_freeze(CARD, freeze_to)


def test_no_network_is_cut_at_a_layer_that_was_only_named_for_its_codes() -> None:
    named = Tap("layer2.0.act1", 0.5, 8, extra=True)
    card = dataclasses.replace(CARD, taps=(*CARD.taps[:2], named, *CARD.taps[2:]))
    own, with_it = (fine_tuning_candidates(each, 100, FineTuneOptions()) for each in (CARD, card))
    assert [candidate.layer for candidate in own] == [candidate.layer for candidate in with_it]
    assert layer_to_freeze(card, "3") == "layer2"
    with pytest.raises(BackboneError, match="to be frozen up to it"):
        layer_to_freeze(card, "layer2.0.act1")


def test_candidates_are_cut_where_the_user_says() -> None:
    (candidate,) = fine_tuning_candidates(CARD, 100, FineTuneOptions(freeze_to="60%"))
    assert candidate.layer == "layer2"


def test_cuts_are_cached_and_the_lowest_stages_alone_are_not() -> None:
    plans = [candidate.plan for candidate in fine_tuning_candidates(CARD, 100, FineTuneOptions(), smaller=160)]
    assert [(plan.freeze_to, plan.cached_augmentations, plan.input_px) for plan in plans] == [  # type: ignore[union-attr]
        ("layer2", 8, None), ("layer1", 0, None), (None, 0, None), ("layer1", 0, 160),
    ]  # fmt: skip
    assert [candidate.input_px for candidate in fine_tuning_candidates(CARD, 9, FineTuneOptions(), smaller=160)] == [
        224, 224, 224, 160,
    ]  # fmt: skip
    small = dataclasses.replace(CARD, preprocess=Preprocess(input_px=96))  # where the lowest stages take no longer
    assert [candidate.layer for candidate in fine_tuning_candidates(small, 9, FineTuneOptions())] == [
        "layer2", "the input",
    ]  # fmt: skip
    last = dataclasses.replace(CARD, taps=CARD.taps[-1:])  # of a network whose only layer is its last
    assert [candidate.layer for candidate in fine_tuning_candidates(last, 100, FineTuneOptions())] == ["the input"]


@pytest.mark.parametrize(
    ("input_px", "smaller"), [(224, 160), (240, 160), (518, 384), (128, 96), (96, None), (64, None)]
)
def test_a_smaller_input_is_a_multiple_of_32_and_not_tiny(input_px: int, smaller: int | None) -> None:
    assert smaller_px(input_px) == smaller


@pytest.mark.parametrize(
    ("images", "batch", "lr"), [(40, 8, 2.5e-4), (128, 16, 5e-4), (256, 32, 1e-3), (9999, 32, 1e-3)]
)
def test_a_small_batch_has_a_low_learning_rate(images: int, batch: int, lr: float) -> None:
    plan = recipe(images)
    given = recipe(9999, batch_size=batch)
    assert (plan.batch_size, plan.lr) == (batch, lr)
    assert (given.batch_size, given.lr) == (batch, lr)
