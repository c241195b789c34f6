"""What only a look at the network itself tells: its layers, its size, its work, the state of its batch norm."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from graftwork.backbones.load import batchnorm_statistics, load
from graftwork.backbones.taps import find_points, one_thread
from graftwork.core.facts import BackboneCard


def described(card: BackboneCard) -> BackboneCard:
    """Return the card with its layers, parameters (millions), multiply-accumulates (billions) and batch norm told.

    Raises
    ------
    BackboneError
        As ``load``.
    """
    network = load(card)
    px = card.preprocess.input_px
    statistics = batchnorm_statistics(network)
    told = card.batchnorm_statistics if statistics == "unknown" else statistics
    return dataclasses.replace(
        card,
        taps=tuple(point.tap for point in find_points(network, px)),
        params_millions=round(sum(p.numel() for p in network.parameters()) / 1e6, 3),
        gmacs=round(_flops(network, px) / 2e9, 3),
        batchnorm_statistics=told,
    )


def _flops(network: nn.Module, px: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad(), one_thread():
        network(torch.zeros(1, 3, px, px))
    return int(counter.get_total_flops())
