"""A network whose batch norm a converter folded has its statistics measured before it is trained."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from graftwork.backbones.catalogue import find_card
from graftwork.backbones.graph import CodesNetwork, codes_network
from graftwork.backbones.load import batchnorm_statistics, load
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune.batchnorm import measure_statistics
from graftwork.finetune.cut import Tail, activations_tap, find_cut, last_layer_network
from graftwork.finetune.sources import TrainingData
from graftwork.finetune.tune import FineTuned, fine_tune
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import pixels
from graftwork.images.read import read_images
from graftwork.listener import SILENT
from graftwork.testing import write_tiny_backbone, write_tiny_images


@pytest.fixture
def folded(tmp_path: Path) -> BackboneCard:
    """A card that computes what the tiny network computes, its batch norm folded into scale and shift."""
    path = write_tiny_backbone(tmp_path)
    tensors = load_file(path)
    for name in [name for name in tensors if name.endswith("running_mean")]:
        norm = name.removesuffix("running_mean")
        mean, variance = tensors[name], tensors[f"{norm}running_var"]
        scale = tensors[f"{norm}weight"] / (variance + 1e-3).sqrt()
        tensors[f"{norm}bias"] -= scale * mean
        tensors[f"{norm}weight"] = scale * (1 + 1e-3) ** 0.5
        mean.zero_()
        variance.fill_(1)
    save_file(tensors, path)
    facts = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**facts, "sha256": None}))
    return find_card(str(path))


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return read_images(write_tiny_images(tmp_path / "images"))


def shown(images: ImageSet, card: BackboneCard) -> torch.Tensor:
    return torch.from_numpy(np.stack([pixels(images.read(i), card.preprocess) for i in range(len(images))]))


def tune(
    card: BackboneCard, images: ImageSet, recipe: Recipe, *, validation: np.ndarray, alphas: tuple[float, ...]
) -> tuple[FineTuned, ...]:
    head = np.zeros((3, card.taps[-1].channels), np.float32), np.zeros(3, np.float32)
    data = TrainingData(images, images.labels, np.arange(len(images)), validation, None, None, None, seed=0)
    return fine_tune(
        card, recipe, head, data, alphas=alphas, checkpoint=None, enough_time=lambda seconds: True, listener=SILENT
    )


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def error(body: CodesNetwork, inputs: torch.Tensor, expected: torch.Tensor) -> float:
    codes = body(inputs)[0].detach()
    return float((codes - expected).norm() / (expected - expected.mean(0)).norm())


def test_what_is_computed_stays_and_statistics_are_those_of_the_images(folded: BackboneCard, images: ImageSet) -> None:
    assert folded.batchnorm_statistics == "identity"
    body = last_layer_network(load(folded), folded)
    inputs = shown(images, folded)
    expected = body(inputs)[0].detach()
    assert error(copy.deepcopy(body).train(), inputs, expected) > 0.5  # training mode is useless
    measure_statistics(body, inputs.split(17))
    assert batchnorm_statistics(body.network) == "unknown"
    assert error(body, inputs, expected) < 1e-4
    for norm in norms(body):
        norm.momentum = 1.0
    before = {name: value.clone() for name, value in body.named_buffers() if "running_" in name}
    assert (
        error(body.train(), inputs, expected) < 1e-2
    )  # one batch of all the images: its statistics are those measured
    for name, value in body.named_buffers():
        if "running_" in name:
            torch.testing.assert_close(value, before[name], rtol=2e-2, atol=1e-4)  # torch takes n - 1


def test_a_tail_measures_what_is_there(folded: BackboneCard, images: ImageSet) -> None:
    network = load(folded)
    cut = find_cut(network, folded, folded.taps[1].name)
    inputs = shown(images, folded)
    at_cut = dataclasses.replace(folded, taps=(activations_tap(folded, cut),))
    activations = codes_network(copy.deepcopy(network), at_cut)(inputs)[0].detach()
    tail = Tail(last_layer_network(network, folded), cut, folded.preprocess.input_px)
    expected = tail(activations)[0].detach()
    measure_statistics(tail, activations.split(17))
    torch.testing.assert_close(tail(activations)[0].detach(), expected, rtol=1e-3, atol=1e-4)
    measured = [norm for norm in norms(tail) if "weight" in norm._parameters]
    assert measured
    assert all(float(norm.get_buffer("running_mean").abs().max()) > 0 for norm in measured)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_tuned_network_works_in_training_mode(folded: BackboneCard, images: ImageSet, frozen: bool) -> None:
    layer = folded.taps[1].name if frozen else None
    recipe = Recipe(layer, epochs=2, batch_size=8, lr=3e-4)
    none, tuned = tune(folded, images, recipe, validation=np.arange(len(images)), alphas=(0.0, 1.0))
    before = load(folded)
    inputs = shown(images, folded)
    untouched = last_layer_network(before, folded)(inputs)[0].detach()
    network = load(folded)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in none.body.items()})
    assert error(last_layer_network(network, folded), inputs, untouched) < 1e-4
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tuned.body.items()})
    body = last_layer_network(network, folded)
    expected = body(inputs)[0].detach()
    below = [network.get_submodule(name) for name in _below(before, folded, layer)] if layer else []
    frozen_norms = {norm for module in below for norm in norms(module)}
    assert frozen_norms or not frozen
    assert all(
        batchnorm_statistics(norm) == ("identity" if norm in frozen_norms else "unknown") for norm in norms(network)
    )
    body.train()
    for norm in frozen_norms:
        norm.eval()
    assert error(last_layer_network(before, folded).train(), inputs, untouched) > 1  # as the card came
    assert error(body, inputs, expected) < 0.5


def _below(network: nn.Module, card: BackboneCard, layer: str) -> tuple[str, ...]:
    cut = find_cut(network, card, layer)
    return (*cut.below, cut.module)


def test_real_statistics_are_left_alone(tmp_path: Path, images: ImageSet) -> None:
    card = find_card(str(write_tiny_backbone(tmp_path / "real")))
    (result,) = tune(card, images, Recipe(None, 1, batch_size=16), validation=np.arange(0), alphas=(1.0,))
    before = load(card).state_dict()
    assert all(np.array_equal(result.body[name], before[name].numpy()) for name in before if "running_" in name)
