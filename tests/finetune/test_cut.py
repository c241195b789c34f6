"""A network cut at any of its layers gives what the whole network gives, and nothing below the cut is left to train."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from graftwork.backbones.catalogue import find_card
from graftwork.backbones.graph import codes_network
from graftwork.backbones.load import load
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError
from graftwork.finetune.cut import Cut, Tail, activations_tap, find_cut, last_layer_network

RandomCard = Callable[[str], BackboneCard]

FAMILIES = (
    "resnet10t", "regnetx_002", "densenet121", "squeezenet1_1.mxnet_in1k", "test_efficientnet",
    "mobilenetv3_small_050", "test_convnext",
    "test_vit", "test_byobnet",
)  # fmt: skip


def with_activations(card: BackboneCard, cut: Cut) -> BackboneCard:
    """The card with the codes of all layers, and in the same pass the activations at a cut."""
    return dataclasses.replace(card, taps=(*card.taps, activations_tap(card, cut)))


@pytest.mark.parametrize("architecture", FAMILIES)
def test_cut_at_every_layer_gives_the_same_codes(
    random_card: RandomCard, architecture: str, request: pytest.FixtureRequest
) -> None:
    if "." in architecture:  # one of torchvision's, which the fake cannot write
        card = find_card(str(request.getfixturevalue("shared") / "weights" / f"{architecture}.safetensors"))
    else:
        card = random_card(architecture)
    px = card.preprocess.input_px
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, px, px, 3), dtype=np.uint8))
    network = load(card)
    whole = last_layer_network(copy.deepcopy(network), card)
    expected = whole(pixels)[0].detach()
    layers = [tap.name for tap in card.taps if tap.depth < 1]
    assert layers
    for layer in layers:
        cut = find_cut(network, card, layer)
        activations = codes_network(copy.deepcopy(network), with_activations(card, cut))(pixels)[-1].detach()
        assert activations.shape == (3, cut.values_per_image)
        tail = Tail(last_layer_network(copy.deepcopy(network), card), cut, px)
        codes = tail(activations)[0]
        assert float((codes.detach() - expected).norm() / expected.norm()) < 1e-4
        codes.sum().backward()
        below = [
            name for name, _ in whole.network.named_parameters() if name.startswith(tuple(f"{b}." for b in cut.below))
        ]
        left = dict(tail.body.network.named_parameters())
        assert below
        assert not [name for name in below if name in left]
        assert any(parameter.grad is not None for parameter in left.values())


def test_activations_at_a_cut_do_not_depend_on_how_codes_are_taken(random_card: RandomCard) -> None:
    card = random_card("resnet10t")
    before = dataclasses.replace(card, taps=tuple(dataclasses.replace(tap, relu=False) for tap in card.taps))
    px = card.preprocess.input_px
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, px, px, 3), dtype=np.uint8))
    network = load(card)
    layer = next(tap.name for tap in card.taps if tap.relu and tap.depth < 1)
    activations = [
        codes_network(copy.deepcopy(network), with_activations(one, find_cut(network, one, layer)))(pixels)[-1].detach()
        for one in (card, before)
    ]
    assert activations[0].min() == 0
    assert torch.equal(activations[0], activations[1])


def test_an_unknown_layer_is_named_with_the_known_ones(random_card: RandomCard) -> None:
    card = random_card("resnet10t")
    with pytest.raises(BackboneError, match="layer2, layer3, not up to layer9"):
        find_cut(load(card), card, "layer9")


def test_a_copy_of_a_tail_returns_what_the_copy_is_given(random_card: RandomCard) -> None:
    card = random_card("test_efficientnet")
    network = load(card)
    cut = find_cut(network, card, card.taps[1].name)
    tail = Tail(last_layer_network(network, card), cut, card.preprocess.input_px)
    activations = torch.rand(3, cut.values_per_image)
    expected = tail(activations)[0].detach()
    other = copy.deepcopy(tail)
    torch.testing.assert_close(other(activations)[0].detach(), expected)
    with torch.no_grad():
        next(p for p in other.parameters() if p.ndim > 1).zero_()
    torch.testing.assert_close(tail(activations)[0].detach(), expected)
