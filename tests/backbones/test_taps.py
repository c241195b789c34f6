"""Layers are found in any family, named the same at any input, and thresholded exactly where the network does."""

from __future__ import annotations

import pytest
import torch

from graftwork.backbones.graph import CodesNetwork
from graftwork.backbones.taps import find_points
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.core.facts import Preprocess, Tap
from graftwork.errors import BackboneError


def network_of(name: str, input_px: int = 64) -> torch.nn.Module:
    make_torchvision_importable()
    import timm
    import torchvision

    if name.startswith("torchvision:"):
        fixed = {"image_size": input_px} if ":vit" in name else {}
        return torchvision.models.get_model(name.partition(":")[2], weights=None, **fixed).eval()
    network = timm.create_model(name, pretrained=False).eval()
    if hasattr(network, "set_input_size"):
        network.set_input_size(img_size=(input_px, input_px))
    return network


def taps_of(name: str, input_px: int = 64) -> tuple[Tap, ...]:
    return tuple(point.tap for point in find_points(network_of(name, input_px), input_px))


LITE0 = [16, 24, 40, 80, 112, 192, 320, 1280]
EXPECTED = {
    # name: layers, widths, where it is thresholded
    "tf_efficientnet_lite0": ([f"blocks.{i}" for i in range(7)] + ["pooled"], LITE0, [False] * 7 + [True]),
    "resnet18": (["layer1", "layer2", "layer3", "pooled"], [64, 128, 256, 512], [True] * 4),
    "torchvision:resnet18": (["layer1", "layer2", "layer3", "pooled"], [64, 128, 256, 512], [True] * 4),
    "torchvision:squeezenet1_1": (
        ["features.4", "features.7", "features.10", "pooled"], [128, 256, 384, 512], [True] * 4,
    ),
    "mobilenetv3_small_100": (
        [f"blocks.{i}" for i in range(6)] + ["pooled"], [16, 24, 40, 48, 96, 576, 1024], [False] * 7,
    ),
    "convnext_atto": ([f"stages.{i}" for i in range(4)] + ["pooled"], [40, 80, 160, 320, 320], [False] * 5),
    "deit_tiny_patch16_224": (["blocks.2", "blocks.5", "blocks.8", "pooled"], [192] * 4, [False] * 4),
    "torchvision:vit_b_16": (
        [f"encoder.layers.encoder_layer_{i}" for i in (2, 5, 8)] + ["pooled"], [768] * 4, [False] * 4,
    ),
    "torchvision:swin_t": (
        ["features.1", "features.3", "features.5.1", "features.5.5", "pooled"], [96, 192, 384, 384, 768], [False] * 5,
    ),
    "regnetx_002": (["s1", "s2", "s3", "pooled"], [24, 56, 152, 368], [True] * 4),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_layers_of_each_family(name: str) -> None:
    names, widths, relu = EXPECTED[name]
    taps = taps_of(name)
    assert [tap.name for tap in taps] == names
    assert [tap.channels for tap in taps] == widths
    assert [tap.relu for tap in taps] == relu
    assert [tap.depth for tap in taps] == sorted(tap.depth for tap in taps)
    assert taps[-1].depth == 1.0


def test_alexnet_as_in_the_literature() -> None:
    network = network_of("torchvision:alexnet", 224)
    points = find_points(network, 224)
    convolutions = ["features.1", "features.4", "features.7", "features.9", "features.11"]
    assert [point.tap.name for point in points] == [*convolutions, "classifier.2", "classifier.5"]
    assert all(point.tap.relu for point in points)
    pixels = torch.randint(0, 256, (3, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        codes = dict(
            zip(
                [point.tap.name for point in points],
                CodesNetwork(network, points, Preprocess())(pixels),
                strict=True,
            )
        )
    assert codes["classifier.5"].shape == codes["classifier.2"].shape == (3, 4096)
    assert float(codes["classifier.5"].min()) >= 0
    assert (codes["classifier.5"] == 0).any()
    assert codes["classifier.5"].std() > 0


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_100", "test_vit", "convnext_atto"]
)
@pytest.mark.parametrize("input_px", [32, 96, 160])
def test_layers_have_the_same_names_at_any_input(name: str, input_px: int) -> None:
    assert [tap.name for tap in taps_of(name, input_px)] == [tap.name for tap in taps_of(name, 64)]


def test_a_class_token_is_read_where_the_network_reads_one() -> None:
    assert {tap.pool for tap in taps_of("deit_tiny_patch16_224")} == {"token"}
    assert taps_of("test_vit2")[0].pool == "average"  # this one averages its tokens


@pytest.mark.parametrize(
    ("name", "options", "pools"),
    [
        ("cait_xxs24_224", {}, ["average"] * 4 + ["average", "none"]),
        ("convit_tiny", {"use_pos_embed": False}, ["average"] * 4 + ["token"]),
    ],
)
def test_patches_are_averaged_where_a_class_token_comes_later(name: str, options: dict, pools: list[str]) -> None:
    make_torchvision_importable()
    import timm

    network = timm.create_model(name, pretrained=False, **options).eval()
    points = find_points(network, 224)
    assert [point.tap.pool for point in points] == pools
    pixels = torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    below = pixels.clone()
    below[:, 112:] = 255 - below[:, 112:]  # the first patch, at the top left, does not see it in the first layers
    with torch.inference_mode():
        codes = CodesNetwork(network, points, Preprocess())
        assert all(not torch.equal(one, other) for one, other in zip(codes(pixels), codes(below), strict=True))


def test_what_does_not_depend_on_the_image_is_no_layer() -> None:
    names = [tap.name for tap in taps_of("xcit_nano_12_p8_224", 64)]
    assert names[-2:] == ["blocks.11", "pooled"]
    assert "pos_embed" not in names, "its encoding of positions is the same for all images"


def test_registers_are_no_part_of_a_mean() -> None:
    (first, *_, last) = find_points(network_of("vit_tiny_patch16_dinov3_qkvb", 64), 64)
    assert {source.prefix_tokens for point in (first, last) for source in point.sources} == {5}
    assert (first.tap.pool, last.tap.pool) == ("average", "average")


@pytest.mark.parametrize(("name", "several"), [("crossvit_tiny_240", "2 in head"), ("efficientvim_m1", "4 in heads")])
def test_a_network_with_several_classifiers_is_refused(name: str, several: str) -> None:
    make_torchvision_importable()
    import timm

    with pytest.raises(BackboneError, match=f"must have one classifier of its own.* but has {several}; choose another"):
        find_points(timm.create_model(name, pretrained=False).eval(), 240 if "240" in name else 224)


def test_a_layer_that_does_not_say_why_it_refuses() -> None:
    class Refusing(torch.nn.Module):
        def forward(self, value: torch.Tensor) -> torch.Tensor:
            raise AssertionError

    with pytest.raises(BackboneError, match="must be able to take 64 px, but: one of its layers refuses it, and does"):
        find_points(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), Refusing()).eval(), 64)


def test_an_input_that_the_network_cannot_take_is_one_line() -> None:
    with pytest.raises(BackboneError, match=r"must be able to take 64 px, but: .* choose another --input-px"):
        find_points(network_of("mixer_s32_224"), 64)


def test_prefix_tokens_are_no_part_of_a_mean() -> None:
    from graftwork.backbones.forward_pass import pooled

    tokens = torch.arange(24.0).reshape(2, 4, 3)
    assert torch.equal(pooled(tokens, "tokens", "average", prefix_tokens=1), tokens[:, 1:].mean(1))
    assert torch.equal(pooled(tokens, "tokens", "max", prefix_tokens=2), tokens[:, 2:].amax(1))
    assert torch.equal(pooled(tokens, "tokens", "token", prefix_tokens=1), tokens[:, 0])


def test_any_module_is_a_layer_where_it_is_named() -> None:
    network = network_of("resnet18")
    own = [point.tap for point in find_points(network, 64)]
    points = find_points(network, 64, ["layer2.0.act1", "layer2", "fc", "nothing"])
    extra = [point.tap for point in points if point.tap.extra]
    assert [tap.name for tap in extra] == ["layer2.0.act1", "fc"]
    assert [point.tap for point in points if not point.tap.extra] == own
    assert (extra[0].channels, extra[0].relu) == (128, True)
    assert points[-1].tap == own[-1]
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    codes = CodesNetwork(network, points, Preprocess(), logits=True)
    with torch.inference_mode():
        by_name = dict(zip(codes.names, codes(pixels), strict=True))
    torch.testing.assert_close(by_name["fc"], by_name["logits"])
