"""Every network and every head keeps its probabilities in ONNX: layers, views, pooling, lengths and rounding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from graftwork.backbones.batches import gathered
from graftwork.backbones.cards import with_input, with_layers, with_pooling
from graftwork.backbones.catalogue import find_card
from graftwork.backbones.graph import CodesNetwork, codes_network
from graftwork.backbones.load import load
from graftwork.backbones.torch_engine import TorchEngine
from graftwork.codes.compute import averaged
from graftwork.core.facts import BackboneCard, Preprocess
from graftwork.core.fitted import Fitted, Head, probabilities
from graftwork.errors import BackboneError
from graftwork.images.pixels import prepared
from graftwork.images.views import views
from graftwork.testing import tiny_image, write_tiny_backbone

onnx = pytest.importorskip("onnx", reason="needs what `pip install 'graftwork[export]'` installs")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.xdist_group("export")  # each network is converted once

from graftwork.ship import onnx_model  # noqa: E402
from graftwork.ship.onnx_body import body_model  # noqa: E402
from graftwork.ship.onnx_model import fitted_model  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared" / "weights"


def pictures(px: int) -> list[np.ndarray]:
    """Stripes of several sizes and ratios, never much smaller than the input: enlarging a pixel says nothing."""
    sizes = [(px, px), (2 * px, 3 * px), (3 * px, px), (int(1.3 * px), int(1.1 * px)), (px // 2, px)]
    return [
        np.asarray(Image.fromarray(tiny_image(label, label, 3 * px)).resize(size, Image.Resampling.LANCZOS))
        for label, size in enumerate(sizes)
    ]


def seen(image: np.ndarray, preprocess: Preprocess, count: int) -> np.ndarray:
    return np.stack([prepared(Image.fromarray(image), preprocess, view) for view in views(count, seed=0)])


def with_random_head(card: BackboneCard, codes: Sequence[np.ndarray], **how: Any) -> Fitted:
    """A head on the layers of a card whose decisions depend on all codes, and are neither certain nor random."""
    values = np.concatenate(codes).astype(np.float32)  # squares of large codes are no float16
    rng = np.random.default_rng(0)
    scale = 1 / np.maximum(values.std(axis=0), 1e-3 * np.abs(values).max() + 1e-9)
    if how.get("normalise") == "l2":
        scale = np.full(values.shape[1], 30.0)
    weight = rng.normal(size=(3, values.shape[1])) * scale / np.sqrt(values.shape[1])
    bias = np.zeros(3) if how.get("normalise") == "l2" else -weight @ values.mean(axis=0)
    head = Head(weight.astype(np.float32), bias.astype(np.float32), ("a", "b", "c"), 0.8)
    return Fitted(card, card.taps, head, "torch cpu f32", **how)


def require_equal(card: BackboneCard, network: CodesNetwork, body: Any, **how: Any) -> None:
    """Compare both kinds of ONNX with torch and ``core.fitted.probabilities``."""
    engine, count, preprocess = TorchEngine(network), how.get("views", 1), card.preprocess
    images = pictures(preprocess.input_px)
    dtype = how.get("code_dtype", "float16")
    codes = []
    for image in images:
        layers = gathered(engine.stream([seen(image, preprocess, count)]))
        by_view = np.concatenate([layers[tap.name] for tap in card.taps], axis=1).astype(dtype)
        codes.append(averaged([by_view[i : i + 1] for i in range(count)]))
    fitted = with_random_head(card, codes, **how)
    expected = probabilities(fitted, np.concatenate(codes))
    assert expected.max(axis=1).min() < 0.99  # else nothing could differ
    whole = onnxruntime.InferenceSession(fitted_model(fitted, body, "image").SerializeToString())
    rows = np.stack([whole.run(None, {"image": image})[0] for image in images])
    assert np.abs(rows - expected).max() < 0.01
    assert np.median(np.abs(rows - expected).max(axis=1)) < 0.002
    fixed = onnxruntime.InferenceSession(fitted_model(fitted, body, "fixed").SerializeToString())
    batch = np.stack([seen(image, preprocess, count) for image in images])
    (entry,) = fixed.get_inputs()
    rows = fixed.run(None, {entry.name: batch if count > 1 else batch[:, 0]})[0]
    assert np.abs(rows - expected).max() < 0.001


Converted = tuple[BackboneCard, CodesNetwork, Any]
"""A card, its network in torch, and the same in ONNX."""


@pytest.fixture(scope="module")
def small(small_card: BackboneCard, one_body: Callable[..., Any]) -> Converted:
    network = codes_network(load(small_card), small_card)
    return small_card, network, one_body(network, small_card.preprocess.input_px)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"views": 3},
        {"normalise": "l2"},
        {"code_dtype": "float32", "views": 2, "normalise": "l2"},
    ],
    ids=str,
)
def test_layers_views_lengths_and_rounding(how: dict[str, Any], small: Converted) -> None:
    require_equal(*small, **how)


def test_the_number_of_images_may_be_fixed_to_one(small: Converted) -> None:
    card, _, body = small
    codes = np.random.default_rng(0).normal(size=(9, sum(tap.channels for tap in card.taps))).astype(np.float32)
    model = fitted_model(with_random_head(card, [codes]), body, "fixed")
    assert not model.graph.value_info, "shapes in between would still say any number"
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True))


@pytest.mark.parametrize("aspect", ["pad", "stretch"])
def test_the_whole_of_an_oblong_image(aspect: Any, small: Converted) -> None:
    card, network, body = small
    require_equal(with_input(card, aspect=aspect), network, body, views=2)


CARDS = ["efficientnet_lite0", "mobilenetv2_100.tv_in1k", "deit_tiny_patch16_224.fb_in1k", "squeezenet1_1.mxnet_in1k"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("layers", ["last", "all"])
def test_cards_keep_their_probabilities(name: str, layers: str, shared: Path) -> None:
    file = SHARED / f"{name}.safetensors"
    card = find_card(str(file) if file.is_file() else name)
    card = card if layers == "all" else with_pooling(with_layers(card, ["last"]), pool="max", relu="before")
    network = codes_network(load(card), card)
    require_equal(card, network, body_model(network, card.preprocess.input_px))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_convnext", "test_vit"])
def test_every_layer_of_convolutions_and_tokens(architecture: str, tmp_path: Path) -> None:
    card = find_card(str(write_tiny_backbone(tmp_path, architecture=architecture)))
    card = dataclasses.replace(card, preprocess=dataclasses.replace(card.preprocess, interpolation="bicubic"))
    network = codes_network(load(card), card)
    require_equal(card, network, body_model(network, card.preprocess.input_px))


def test_a_network_that_no_file_of_onnx_holds_is_refused(small: Converted, monkeypatch: pytest.MonkeyPatch) -> None:
    card, _, body = small
    fitted = with_random_head(card, [np.random.default_rng(0).normal(size=(9, sum(tap.channels for tap in card.taps)))])
    monkeypatch.setattr(onnx_model, "_LARGEST_MB", 0.5)
    with pytest.raises(BackboneError, match=r"must be below 0.5 MB, but this one would have 1; use a smaller"):
        fitted_model(fitted, body, "fixed")


class NoOperator(torch.nn.Module):
    names = ("codes",)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (torch.special.bessel_j0(pixels.float()).mean((1, 2)),)


class Branching(NoOperator):
    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (pixels.float().mean((1, 2)) if pixels.sum() > 3 else pixels.float().amax((1, 2)),)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (NoOperator(), r"no operator for \w+[.:]+bessel_j0;"),
        (Branching(), "stops at: Could not guard on data-dependent"),
    ],
)
def test_what_onnx_cannot_hold_is_named_in_one_line(network: Any, words: str, capfd, recwarn) -> None:
    with pytest.raises(BackboneError, match=words) as error:
        body_model(network, 8)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")
    assert list(recwarn) == []


@pytest.mark.slow
def test_a_network_of_caffe_in_its_own_order_of_channels(shared: Path, monkeypatch, tmp_path: Path) -> None:
    from graftwork import zoo

    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path))
    card = zoo.import_(SHARED / "caffe-squeezenet", name="squeezenet").card
    assert card.preprocess.channels == "BGR"
    network = codes_network(load(card), card)
    require_equal(card, network, body_model(network, card.preprocess.input_px), views=2)
