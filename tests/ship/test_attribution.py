"""Evidence adds up to the margin, wherever it can; every kind of network has places, or says that it has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pasted_things import Pasted
from safetensors.torch import save_file
from scipy.stats import spearmanr

from graftwork.backbones.cards import with_pooling
from graftwork.backbones.catalogue import find_card
from graftwork.backbones.load import load, untrained
from graftwork.core.facts import BackboneCard
from graftwork.core.fitted import Head
from graftwork.errors import BackboneError
from graftwork.files import sha256_of
from graftwork.images.pixels import pixels
from graftwork.model.folder import read_model
from graftwork.model.load import body_card
from graftwork.ship.attribution import Attribution, over_the_others
from graftwork.testing import tiny_image, write_tiny_backbone

PIXELS = tiny_image(2, 5, 64)
CONTRAST = over_the_others(1, 3)


@pytest.fixture
def tiny_card(tmp_path: Path) -> Callable[[str], BackboneCard]:
    def make(architecture: str) -> BackboneCard:
        return find_card(str(write_tiny_backbone(tmp_path, architecture=architecture, input_px=64)))

    return make


def head_of(card: BackboneCard, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    width = sum(tap.channels for tap in card.taps)
    weight, bias = rng.normal(size=(3, width)), rng.normal(size=3)
    return Head(weight.astype(np.float32), bias.astype(np.float32), ("ant", "bee", "cat"))


def margin_of(attribution: Attribution, head: Head) -> float:
    """The contrast as the classifier has it: from the codes of the same network."""
    with torch.inference_mode():
        codes = torch.cat(attribution.network(torch.from_numpy(PIXELS)[None]), 1)[0].numpy()
    return float(CONTRAST @ (head.weight @ codes + head.bias))


@pytest.mark.parametrize("pool", ["average", "max"])
@pytest.mark.parametrize("relu", ["after", "before"])
@pytest.mark.parametrize("architecture", ["test_byobnet", "test_efficientnet", "test_resnet"])
def test_evidence_of_all_places_and_layers_adds_up_to_the_margin(
    tiny_card: Callable[[str], BackboneCard], architecture: str, pool: str, relu: str
) -> None:
    card = with_pooling(tiny_card(architecture), pool=pool, relu=relu if architecture == "test_byobnet" else "after")
    head = head_of(card)
    attribution = Attribution(card, head)
    evidence = attribution.evidence(PIXELS, CONTRAST)
    assert attribution.exact
    assert evidence.shape == (64, 64)
    assert len(card.taps) > 2
    assert evidence.mean() == pytest.approx(margin_of(attribution, head), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("architecture", ["test_vit", "test_convnext"])
def test_layers_without_positions_are_followed_back_to_some(
    tiny_card: Callable[[str], BackboneCard], architecture: str
) -> None:
    card = tiny_card(architecture)
    attribution = Attribution(card, head_of(card))
    evidence = attribution.evidence(PIXELS, CONTRAST)
    assert not attribution.exact
    assert np.isfinite(evidence).all()
    assert evidence.std() > 0


def test_a_layer_without_any_positions_is_refused_in_one_line(tiny_card: Callable[[str], BackboneCard]) -> None:
    card = tiny_card("test_byobnet")
    at_one_pixel = dataclasses.replace(card.preprocess, input_px=16)  # the last layers have one position there
    card = dataclasses.replace(card, preprocess=at_one_pixel, taps=card.taps[-1:])
    assert Attribution(card, head_of(card)).evidence(PIXELS[:16, :16], CONTRAST).std() > 0
    with pytest.raises(BackboneError, match="must have positions of the image at or below it"):
        Attribution(dataclasses.replace(card, preprocess=dataclasses.replace(at_one_pixel, input_px=1)), head_of(card))


def test_the_last_layer_has_the_map_that_another_library_gives_it(tiny_card: Callable[[str], BackboneCard]) -> None:
    captum = pytest.importorskip("captum.attr", reason="needs captum, which explains networks, too")
    card = tiny_card("test_byobnet")
    card = dataclasses.replace(card, taps=card.taps[-1:])
    head = head_of(card)
    attribution = Attribution(card, head)
    weight = torch.from_numpy(CONTRAST @ head.weight)

    def contrast(planes: torch.Tensor) -> torch.Tensor:
        return attribution.network.codes(planes)[0] @ weight

    network = attribution.network
    planes = torch.from_numpy(PIXELS)[None].permute(0, 3, 1, 2).float()
    planes = planes * network.get_buffer("scale") + network.get_buffer("shift")
    module = network.network.get_submodule(network.points[0].sources[0].module)
    theirs = captum.LayerGradCam(contrast, module).attribute(planes)[0, 0].detach().numpy()
    ours = attribution.evidence(PIXELS, CONTRAST)
    step = 64 // len(theirs)
    assert len(theirs) > 1
    cells = ours.reshape(len(theirs), step, len(theirs), step).mean(axis=(1, 3))
    # ours is smoothed between the centres of cells
    assert spearmanr(cells, theirs, axis=None).statistic > 0.99
    assert ours.mean() == pytest.approx(float(theirs.sum() + CONTRAST @ head.bias), rel=1e-3)


def test_a_network_of_random_weights_has_another_map(pasted: Pasted, tmp_path: Path) -> None:
    folder = Path(pasted.run.folder) / "model"
    contents = read_model(folder)
    card = dataclasses.replace(body_card(folder, contents), taps=contents.fitted.taps)
    file = tmp_path / "random.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in untrained(card, 0).state_dict().items()}, file)
    random = dataclasses.replace(card, weights=str(file), weights_sha256=sha256_of(file))
    trained, untaught = Attribution(card, contents.fitted.head), Attribution(random, contents.fitted.head)
    shuffled = Attribution(card, head_of(card))
    correlations: dict[str, list[float]] = {"body": [], "head": []}
    for name in list(pasted.boxes)[::6]:
        seen = pixels((pasted.data / name).read_bytes(), card.preprocess)
        own = trained.evidence(seen, CONTRAST)
        for which, other in (("body", untaught), ("head", shuffled)):
            correlations[which].append(float(spearmanr(own, other.evidence(seen, CONTRAST), axis=None).statistic))
    assert abs(np.mean(correlations["body"])) < 0.3
    assert abs(np.mean(correlations["head"])) < 0.3


def test_nothing_is_left_on_the_network(tiny_card: Callable[[str], BackboneCard]) -> None:
    card = tiny_card("test_efficientnet")
    attribution = Attribution(card, head_of(card))
    first = attribution.evidence(PIXELS, CONTRAST)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in attribution.network.modules())
    assert all(parameter.grad is None for parameter in attribution.network.parameters())
    np.testing.assert_array_equal(attribution.evidence(PIXELS, CONTRAST), first)
    weights = load(card).state_dict()
    for name, value in attribution.network.network.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)
