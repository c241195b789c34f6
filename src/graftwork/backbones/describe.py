"""The fields of a card that need the network itself: its layers, size, operations and batch-norm statistics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from graftwork.backbones.cards import LAST
from graftwork.backbones.forward_pass import one_thread
from graftwork.backbones.graph import watched_px
from graftwork.backbones.load import batchnorm_statistics, load
from graftwork.backbones.taps import POOLED, find_points
from graftwork.core.facts import BackboneCard


def described(card: BackboneCard) -> BackboneCard:
    """Return the card with its layers, its size and operations (in millions and billions) and batch-norm statistics.

    Raises
    ------
    BackboneError
        As ``load``.
    """
    network = load(card)
    px = card.preprocess.input_px
    statistics = batchnorm_statistics(network)
    return dataclasses.replace(
        card,
        taps=tuple(point.tap for point in find_points(network, px)),
        params_millions=round(sum(p.numel() for p in network.parameters()) / 1e6, 3),
        gmacs=round(macs(network, px) / 1e9, 3),
        batchnorm_statistics=card.batchnorm_statistics if statistics == "unknown" else statistics,
    )


def with_extra_layers(card: BackboneCard, names: Sequence[str]) -> BackboneCard:
    """Return the card with layers besides its own: modules by their dotted paths, as ``named_modules`` has them.

    Names of no module, and modules that give no code, are left out: ``cards.with_layers`` refuses them.

    Raises
    ------
    BackboneError
        As ``load``.
    """
    own = {tap.name for tap in card.taps}
    missing = [name for name in names if name and name not in (LAST, POOLED) and name not in own]
    if not missing:
        return card
    network = load(card)
    extra = [p.tap for p in find_points(network, watched_px(network, card), missing) if p.tap.name in missing]
    *inner, last = card.taps
    return dataclasses.replace(card, taps=(*sorted([*inner, *extra], key=lambda tap: tap.depth), last))


def macs(network: nn.Module, px: int) -> int:
    """Return how often a network multiplies and adds for one image of px x px."""
    # On a CPU torch's counter has no formula for the fused kernel of attention, and counts nothing for it (torch 2.13).
    unfused = sdpa_kernel(SDPBackend.MATH)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), one_thread(), unfused:
        network(torch.zeros(1, 3, px, px))
    return int(counter.get_total_flops()) // 2
