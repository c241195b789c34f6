"""Every card keeps the contract: it loads, takes its stated input, and classifies the photos as well as recorded."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from graftwork.backbones.batches import gathered
from graftwork.backbones.catalogue import embedded, find_card, recommended
from graftwork.backbones.convert import to_graph
from graftwork.backbones.engines import open_engine
from graftwork.backbones.graph import LOGITS, codes_network
from graftwork.backbones.load import load
from graftwork.backbones.openvino_engine import OpenVINOEngine
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.core.facts import BackboneCard, Preprocess
from graftwork.images.pixels import pixels
from graftwork.testing import write_tiny_backbone

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared"
RECORDED = {name: shares for name, shares in json.loads((HERE / "photos.json").read_text()).items() if name != "what"}
TINY = ["test_byobnet", "test_efficientnet", "test_convnext", "test_vit"]
NAMES = [card.name for card in embedded()] + TINY
NAMES += [path.stem for path in sorted((SHARED / "weights").glob("*.safetensors"))]


@pytest.fixture(scope="module")
def card_of(tmp_path_factory: pytest.TempPathFactory) -> functools._lru_cache_wrapper[BackboneCard]:
    @functools.cache
    def find(name: str) -> BackboneCard:
        if name in TINY:
            return find_card(str(write_tiny_backbone(tmp_path_factory.mktemp("tiny"), architecture=name)))
        file = SHARED / "weights" / f"{name}.safetensors"
        return find_card(str(file) if file.is_file() else name)

    return find


@functools.cache
def photos(preprocess: Preprocess, step: int) -> NDArray[np.uint8]:
    data = _photos()[0][::step]
    return np.stack([pixels(image, preprocess) for image in data])


@functools.cache
def _photos() -> tuple[list[bytes], NDArray[np.integer]]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(SHARED / "imagenet-photos" / "photos.parquet", columns=["image", "label"])
    return table.column("image").to_pylist(), np.asarray(table.column("label"))


@pytest.mark.parametrize("name", NAMES)
def test_a_card_loads_in_eval_mode(name: str, card_of) -> None:  # type: ignore[no-untyped-def]
    card = card_of(name)
    network = load(card)
    assert not any(module.training for module in network.modules())
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 3) == card.params_millions
    assert card.weights_sha256
    assert card.licence != "unknown"
    assert card.trained_on != "unknown"
    assert (card.gmacs or 0) > 0


@pytest.mark.parametrize("name", NAMES)
def test_codes_have_the_widths_and_signs_that_the_card_tells(name: str, card_of, shared: Path) -> None:  # type: ignore[no-untyped-def]
    """Law 2: no negative code where the network thresholds, and none cut off where it does not."""
    card = card_of(name)
    codes = gathered(open_engine(card, "openvino f32").stream([photos(card.preprocess, 63)]))
    assert list(codes) == [tap.name for tap in card.taps]
    for tap in card.taps:
        values = codes[tap.name]
        assert values.shape == (16, tap.channels)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert (values.std(0) > 0).mean() > 0.5
        assert (values.min() >= 0) == tap.relu, f"{tap.name} of {name}: {values.min()}"


@pytest.mark.parametrize("name", RECORDED)
def test_the_photos_are_seen_as_was_recorded(name: str, card_of, shared: Path) -> None:  # type: ignore[no-untyped-def]
    assert _share_right(card_of(name), step=8) == pytest.approx(RECORDED[name][1], abs=0.0081)  # one photo of 125


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDED)
def test_all_photos_are_seen_as_was_recorded(name: str, card_of, shared: Path) -> None:  # type: ignore[no-untyped-def]
    assert _share_right(card_of(name), step=1) == pytest.approx(RECORDED[name][0], abs=0.0021)


def test_the_figures_see_a_wrong_preprocessing(card_of, shared: Path) -> None:  # type: ignore[no-untyped-def]
    """The figures above guard preprocessing: a mean and deviation of another network fails at once."""
    card = card_of("package:efficientnet_lite0")
    wrong = dataclasses.replace(card.preprocess, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    share = _share_right(dataclasses.replace(card, preprocess=wrong), step=8)
    assert abs(share - RECORDED[card.name][1]) > 0.0081


def _share_right(card: BackboneCard, step: int) -> float:
    network = codes_network(load(card), dataclasses.replace(card, taps=card.taps[-1:]), logits=True)
    engine = OpenVINOEngine(to_graph(network, card.preprocess.input_px))
    logits = gathered(engine.stream([photos(card.preprocess, step)]))[LOGITS]
    return float((logits.argmax(1) == _photos()[1][::step]).mean())


def test_the_cards_file_tells_the_recorded_figures() -> None:
    assert {card.name: card.top1_on_photos for card in embedded()} == {
        name: shares[0] for name, shares in RECORDED.items() if name.startswith("package:")
    }


@pytest.mark.parametrize("card", recommended(), ids=lambda card: card.name)
def test_recommended_cards_agree_with_timm(card: BackboneCard) -> None:
    make_torchvision_importable()
    import timm

    config = timm.get_pretrained_cfg(card.architecture, allow_unregistered=False)
    assert config is not None
    assert config.hf_hub_id == card.weights
    assert config.license == card.licence.lower()
    assert (tuple(config.mean), tuple(config.std)) == (card.preprocess.mean, card.preprocess.std)
    assert (config.interpolation, config.crop_pct) == (card.preprocess.interpolation, card.preprocess.crop_fraction)
    if not config.fixed_input_size:
        assert config.input_size[-1] == card.preprocess.input_px
