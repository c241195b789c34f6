"""What an engine runs: normalised inside, read in one pass, pooled and thresholded as the taps say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from graftwork.backbones.cards import with_pooling
from graftwork.backbones.graph import codes_network
from graftwork.backbones.load import load
from graftwork.core.facts import BackboneCard, Preprocess
from graftwork.errors import BackboneError
from graftwork.images.pixels import normalise
from graftwork.testing import tiny_image

PIXELS = np.stack([tiny_image(i, i) for i in range(5)])


def codes_of(card: BackboneCard) -> dict[str, torch.Tensor]:
    network = codes_network(load(card), card)
    with torch.inference_mode():
        return dict(zip(network.names, network(torch.from_numpy(PIXELS)), strict=True))


def test_pixels_are_normalised_as_the_reference_does(tiny_card: Callable[..., BackboneCard]) -> None:
    card = tiny_card("test_convnext")
    odd = Preprocess(input_px=32, mean=(0.1, 0.4, 0.7), std=(0.2, 0.3, 0.4), channels="BGR")
    card = dataclasses.replace(card, preprocess=odd)
    network = load(card)
    with torch.inference_mode():
        expected = network(torch.from_numpy(normalise(PIXELS, odd)))
        actual = codes_network(network, card, logits=True)(torch.from_numpy(PIXELS))[-1]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_last_layer_is_what_the_classifier_reads(tiny_card: Callable[..., BackboneCard]) -> None:
    for architecture in ("test_byobnet", "test_vit", "test_convnext", "test_efficientnet", "test_resnet"):
        card = tiny_card(architecture)
        network = load(card)
        last = codes_of(card)[card.taps[-1].name]
        with torch.inference_mode():
            expected = network.get_classifier()(last)
            actual = network(torch.from_numpy(normalise(PIXELS, card.preprocess)))
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_before_the_relu_is_the_same_before_it_was_thresholded(tiny_card: Callable[..., BackboneCard]) -> None:
    card = tiny_card("test_byobnet")
    after, before = codes_of(card), codes_of(with_pooling(card, relu="before"))
    assert all(tap.relu for tap in card.taps)
    for name in after:
        assert float(after[name].min()) >= 0
        assert float(before[name].min()) < 0
        assert before[name].shape == after[name].shape
        assert bool((before[name] <= after[name] + 1e-6).all())  # a mean of max(x, 0) is never below the mean of x


def test_nothing_is_thresholded_where_the_network_does_not(tiny_card: Callable[..., BackboneCard]) -> None:
    card = tiny_card("test_vit")
    as_is = codes_of(card)
    for relu in ("before", "after"):
        other = codes_of(with_pooling(card, relu=relu))
        assert all(torch.equal(as_is[name], other[name]) for name in as_is)
    assert all(float(codes.min()) < 0 for codes in as_is.values())


def test_side_by_side_relus_are_read_before_too() -> None:
    from graftwork.backbones.taps import find_points
    from graftwork.backbones.torchvision_import import make_torchvision_importable

    make_torchvision_importable()
    import torchvision

    network = torchvision.models.squeezenet1_1(weights=None).eval()
    fire = find_points(network, 64)[0]
    assert [source.module for source in fire.before_relu] == [
        "features.4.expand1x1_activation",
        "features.4.expand3x3_activation",
    ]


def test_max_pooling_where_there_is_an_extent(tiny_card: Callable[..., BackboneCard]) -> None:
    card = tiny_card("test_byobnet")
    average, largest = codes_of(card), codes_of(with_pooling(card, pool="max"))
    for name in average:
        assert bool((largest[name] >= average[name] - 1e-6).all())
    assert not torch.equal(average["stages.0"], largest["stages.0"])
    token = tiny_card("test_vit")
    assert with_pooling(token, pool="max").taps == token.taps  # a class token is one vector


def test_a_relu_inside_a_function_cannot_be_read_before() -> None:
    from graftwork.backbones.torchvision_import import make_torchvision_importable

    make_torchvision_importable()
    import torchvision

    network = torchvision.models.densenet121(weights=None).eval()
    from graftwork.backbones.taps import find_points

    last = find_points(network, 64)[-1].tap
    assert last.relu
    card = BackboneCard(
        "file:x", "file", "torchvision:densenet121", "x", Preprocess(input_px=64),
        taps=(dataclasses.replace(last, relu=False),),
    )  # fmt: skip
    with pytest.raises(BackboneError, match="its ReLU as a module of its own to be read before it"):
        codes_network(network, card)


def test_a_layer_that_is_not_there(tiny_card: Callable[..., BackboneCard]) -> None:
    card = tiny_card()
    odd = dataclasses.replace(card, taps=(dataclasses.replace(card.taps[0], name="stages.9"),))
    with pytest.raises(BackboneError, match=r"must have the layer stages\.9, but has stages\.0, stages\.1"):
        codes_network(load(card), odd)
