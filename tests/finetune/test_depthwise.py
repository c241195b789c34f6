"""Gradients of depthwise convolutions are the same by every path; what has no path of its own is torch's to the bit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.finetune import depthwise
from graftwork.finetune.depthwise import (
    INPUT_PATHS,
    PLAIN,
    WEIGHT_PATHS,
    GradientPaths,
    Layer,
    depthwise_layers,
    fast_gradients,
    measured_paths,
)

PATHS = [GradientPaths(inputs, weight) for inputs in INPUT_PATHS for weight in WEIGHT_PATHS]
OTHER = [paths for paths in PATHS if PLAIN not in (paths.inputs, paths.weight)]


def values(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Random values whose layout is that of training."""
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(dtype).contiguous(memory_format=torch.channels_last)


class Everywhere(dict[str, GradientPaths]):
    """The same paths for whatever layer comes."""

    def __init__(self, paths: GradientPaths) -> None:
        super().__init__({"every layer": paths})
        self.paths, self.names = paths, []

    def get(self, name: str, default: Any = None) -> GradientPaths:
        self.names.append(name)
        return self.paths


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, int, tuple[int, int]]:
    """Inputs, weight, stride and padding of a depthwise convolution that has an output."""
    kernel, stride = draw(st.sampled_from([3, 5, 7])), draw(st.sampled_from([1, 2]))
    padding = tuple(draw(st.sampled_from([0, kernel // 2, kernel - 1])) for _ in range(2))
    size = [draw(st.integers(max(1, kernel - 2 * around), 9)) for around in padding]
    images, channels = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 9))
    return values(images, channels, *size, seed=seed), values(channels, 1, kernel, kernel, seed=seed), stride, padding


@pytest.mark.parametrize("paths", PATHS, ids=lambda paths: f"{paths.inputs}, {paths.weight}")
@given(drawn=convolutions())
def test_every_path_gives_the_gradient_of_the_convolution(paths: GradientPaths, drawn: Any) -> None:
    inputs, weight, stride, padding = drawn
    bias = values(1, len(weight), 1, 1).flatten()
    leaves = tuple(leaf.detach().requires_grad_() for leaf in (inputs, weight, bias))

    def forward(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, w, b, stride, padding, 1, len(weight))

    plain = forward(*leaves)
    upstream = values(*plain.shape, seed=3)
    expected = torch.autograd.grad(plain, leaves, upstream)
    table = Everywhere(paths)
    with fast_gradients(table):
        output = forward(*leaves)
    assert table.names
    torch.testing.assert_close(output, plain)
    torch.testing.assert_close(torch.autograd.grad(output, leaves, upstream), expected)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("paths", OTHER, ids=lambda paths: f"{paths.inputs}, {paths.weight}")
def test_gradients_agree_with_finite_differences(paths: GradientPaths, kernel: int, stride: int) -> None:
    inputs, weight = values(2, 2, 4, 5).requires_grad_(), values(2, 1, kernel, kernel).requires_grad_()
    padding = kernel // 2

    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        with fast_gradients(Everywhere(paths)):
            return nn.functional.conv2d(x, w, None, stride, padding, 1, 2)

    assert torch.autograd.gradcheck(forward, (inputs, weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("paths", OTHER, ids=lambda paths: f"{paths.inputs}, {paths.weight}")
@pytest.mark.parametrize(("kernel", "stride", "px"), [(5, 1, 12), (3, 2, 12), (5, 2, 9), (7, 1, 7)])
def test_rounding_is_at_most_about_that_of_the_plain_gradients(
    paths: GradientPaths, dtype: torch.dtype, kernel: int, stride: int, px: int
) -> None:
    inputs, weight = values(8, 16, px, px, dtype=dtype), values(16, 1, kernel, kernel, dtype=dtype)

    def gradients(paths: GradientPaths, exact: bool) -> tuple[torch.Tensor, ...]:
        x, w = ((v.double() if exact else v).detach().requires_grad_() for v in (inputs, weight.float()))
        mixed = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16 and not exact)
        with mixed, fast_gradients(Everywhere(paths)):
            output = nn.functional.conv2d(x, w, None, stride, kernel // 2, 1, 16)
        return torch.autograd.grad(output, (x, w), values(*output.shape, seed=1).to(dtype).to(output.dtype))

    exact, plain, other = gradients(GradientPaths(), True), gradients(GradientPaths(), False), gradients(paths, False)
    for reference, usual, ours in zip(exact, plain, other, strict=True):
        assert ours.dtype == usual.dtype
        # in float32 oneDNN's sums differ by as much between kernels of three columns and of five
        error, usual_error = (ours.double() - reference).norm(), (usual.double() - reference).norm()
        assert error <= 1.3 * usual_error or error <= 1e-6 * reference.norm()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 8, 3, groups=4),  # depth multiplier 2
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, groups=4, dilation=2),
        nn.Conv2d(4, 4, 4, groups=4),
        nn.Conv2d(4, 4, (3, 5), groups=4),
        nn.Conv2d(4, 4, 3, groups=4, stride=3),
        nn.Conv2d(4, 4, 3, groups=4, stride=(1, 2)),
        nn.Conv2d(4, 4, 3, groups=4, padding="same"),
        nn.Conv2d(4, 4, 3, groups=4, padding=4),
        nn.Conv2d(4, 4, 3, groups=4, padding=1, padding_mode="circular", dilation=2),
    ],
    ids=str,
)
def test_what_has_no_other_path_is_torchs_own_to_the_bit(layer: nn.Conv2d) -> None:
    inputs = values(2, 4, 9, 9, dtype=torch.float32).requires_grad_()
    parameters = (inputs, *layer.parameters())
    table = Everywhere(OTHER[0])
    with fast_gradients(table):
        output = layer(inputs)
    assert not table.names
    expected = torch.autograd.grad(layer(inputs).square().sum(), parameters)
    actual = torch.autograd.grad(output.square().sum(), parameters)
    assert all(torch.equal(*pair) for pair in zip(actual, expected, strict=True))


def test_a_layer_that_is_not_named_is_torchs_own_to_the_bit() -> None:
    inputs, layer = values(2, 8, 7, 7, dtype=torch.float32).requires_grad_(), nn.Conv2d(8, 8, 5, padding=2, groups=8)
    with fast_gradients({"another": OTHER[0]}):
        output = layer(inputs)
    assert "Convolution" in type(output.grad_fn).__name__
    assert type(output.grad_fn) is type(layer(inputs).grad_fn)


def test_a_pass_without_gradients_is_torchs_own() -> None:
    inputs, layer = values(2, 8, 7, 7, dtype=torch.float32), nn.Conv2d(8, 8, 5, padding=2, groups=8)
    table = Everywhere(OTHER[0])
    with torch.inference_mode(), fast_gradients(table):
        layer(inputs)
    layer.requires_grad_(False)
    with fast_gradients(table):
        layer(inputs)
    assert not table.names


@pytest.mark.parametrize("frozen", ["inputs", "weight"])
def test_a_gradient_that_nobody_needs_is_not_computed(frozen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> torch.Tensor:
        raise AssertionError("not needed")

    monkeypatch.setitem(INPUT_PATHS if frozen == "inputs" else WEIGHT_PATHS, PLAIN, refuse)
    inputs, layer = values(1, 8, 7, 7, dtype=torch.float32), nn.Conv2d(8, 8, 5, padding=2, groups=8)
    inputs.requires_grad_(frozen != "inputs")
    layer.weight.requires_grad_(frozen != "weight")
    with fast_gradients(Everywhere(GradientPaths())):
        layer(inputs).sum().backward()
    assert (inputs.grad is None) == (frozen == "inputs")
    assert (layer.weight.grad is None) == (frozen == "weight")


def test_tensorflows_padding_is_a_layer_of_the_padded_size() -> None:
    make_torchvision_importable()
    from timm.layers import Conv2dSame

    layer, inputs = Conv2dSame(8, 8, 5, stride=2, groups=8), values(2, 8, 8, 8, dtype=torch.float32)
    (noted,) = depthwise_layers(lambda: layer(inputs))
    assert noted == Layer((8, 11, 11), 5, 2, (0, 0), torch.float32)
    with fast_gradients({noted.name: OTHER[0]}):
        output = layer(inputs)
    expected = torch.autograd.grad(layer(inputs).square().sum(), layer.weight)
    torch.testing.assert_close(torch.autograd.grad(output.square().sum(), layer.weight), expected)


def test_a_copy_of_the_network_has_gradients_of_its_own() -> None:
    layer = nn.Conv2d(8, 8, 5, padding=2, groups=8)
    inputs = values(2, 8, 7, 7, dtype=torch.float32)
    with fast_gradients(Everywhere(OTHER[0])):
        layer(inputs).sum().backward()
        copied = copy.deepcopy(layer)
        copied.weight.grad = None
        copied(inputs).sum().backward()
    assert layer.weight.grad is not None
    assert copied.weight.grad is not None
    torch.testing.assert_close(copied.weight.grad, layer.weight.grad)


def test_layers_of_a_network_are_noted_in_the_precision_that_they_run_in() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 5, 2, 2, groups=8))
    with torch.autocast("cpu", torch.bfloat16):
        layers = depthwise_layers(lambda: network(torch.ones(2, 3, 9, 9)))
    assert layers == {Layer((8, 7, 7), 5, 2, (2, 2), torch.bfloat16)}
    assert not depthwise_layers(lambda: nn.Conv2d(3, 8, 3)(torch.ones(2, 3, 9, 9)))


def test_the_path_with_the_least_seconds_is_taken_for_each_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depthwise, "best_seconds", lambda runs, clock: {name: float(len(name)) for name in runs})
    layer = Layer((4, 6, 6), 5, 2, (2, 2), torch.float32)
    assert measured_paths(layer, 2) == GradientPaths(PLAIN, PLAIN)
    monkeypatch.setattr(depthwise, "best_seconds", lambda runs, clock: {name: 1 / len(name) for name in runs})
    assert measured_paths(layer, 2) == GradientPaths("spread", "images as channels")
