"""A convolution with its batch norm in it gives what both gave, and the same gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from graftwork.backbones.load import load
from graftwork.finetune.folding import fold, pairs_to_fold

FAMILIES = {
    "resnet10t": 14,
    "mobilenetv2_035": 52,
    "mobilenetv3_small_050": 34,
    "tf_efficientnet_lite0": 49,  # TensorFlow's padding
    "densenet121": 59,  # half of its batch norms stand before a convolution
    "test_vit": 0,
}
"""Architectures and the number of their convolutions that can take over a batch norm."""


def randomised(network: nn.Module) -> nn.Module:
    """The network in double precision, every batch norm with statistics, scale and shift of its own."""
    network = network.double().eval()
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    return network


def after_a_step(network: nn.Module, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Parameters after a step of SGD, and what the network gave before it."""
    outputs = network(inputs)
    (outputs / outputs.detach().abs().max()).square().sum().backward()
    torch.optim.SGD([p for p in network.parameters() if p.grad is not None], lr=1e-3).step()
    return {**{name: p.detach().clone() for name, p in network.named_parameters()}, "outputs": outputs.detach()}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_folded_networks_give_the_same_and_learn_the_same(architecture, random_card):
    card = random_card(architecture)
    network = randomised(load(card))
    pairs = pairs_to_fold(network, 64)
    assert len(pairs) == FAMILIES[architecture]
    other = copy.deepcopy(network)
    fold(other, pairs)
    inputs = torch.rand(3, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    plain, folded = after_a_step(network, inputs), after_a_step(other, inputs)
    assert plain.keys() == folded.keys()
    for name in plain:
        torch.testing.assert_close(folded[name], plain[name], rtol=1e-8, atol=1e-10)


def test_a_copy_of_a_folded_network_is_trained_by_itself(random_card):
    network = randomised(load(random_card("resnet10t")))
    fold(network, pairs_to_fold(network, 64))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    inputs = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    after = after_a_step(copy.deepcopy(network), inputs)
    changed = [name for name, p in network.named_parameters() if not torch.equal(p, before[name])]
    assert changed == []
    assert any(not torch.equal(after[name], before[name]) for name in before)


class Shared(nn.Module):
    """What its convolution gives is used with and without the batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs = self.conv(inputs)
        return self.norm(outputs) + outputs


class Twice(nn.Module):
    """One convolution, run twice, before two batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(self.conv(self.first(self.conv(inputs))))


class WithoutStatistics(nn.Module):
    """A batch norm that measures each batch, and one without scale and shift."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
        self.two = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(inputs))


@pytest.mark.parametrize("kind", [Shared, Twice, WithoutStatistics])
def test_where_folding_would_change_what_a_network_gives_nothing_is_folded(kind):
    assert pairs_to_fold(kind(), 16) == ()


def test_a_convolution_with_a_bias_and_groups_is_folded_exactly():
    network = randomised(nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6), nn.ReLU()))
    other = copy.deepcopy(network)
    fold(other, pairs_to_fold(network, 16))
    inputs = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(other(inputs), network(inputs))
    assert other[1](inputs[:, :1].expand(-1, 6, -1, -1)).equal(inputs[:, :1].expand(-1, 6, -1, -1))
