"""The learning rate of each weight: lower for lower layers (layer decay), highest for the head."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

from graftwork.backbones.graph import CodesNetwork, watched_px
from graftwork.backbones.taps import find_points
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune.cut import ModuleCall, module_calls

USUAL_RMS = 2.0
"""Root mean square of the codes up to which a network has the recipe's learning rate. It is 0.6 to 1.7 where batch norm
or layer norm keep activations in bounds, and 8 to 17 in SqueezeNets, which have neither: there the recipe's own rate
lost 16 and 18 points against the linear model (ants and bees, 128 px, four epochs), a rate lower by this factor 2 and
4."""


def stages(body: CodesNetwork, card: BackboneCard) -> dict[str, int]:
    """Return the stage of each parameter of a network: the number of layers that had returned before it was used.

    The layers are those that give codes, so that learning rates decay with depth alike in every family of networks.
    """
    network = body.network
    calls = module_calls(network, card.preprocess.input_px)
    points = find_points(network, watched_px(network, card))
    ends = sorted(calls[p.sources[0].module].last for p in points[:-1] if p.sources[0].module in calls)
    return {name: sum(end < _used(name, calls) for end in ends) for name, _ in network.named_parameters()}


def parameter_groups(
    body: nn.Module, head: nn.Module, stage_of: dict[str, int], recipe: Recipe, *, code_rms: float = 1.0
) -> list[dict[str, Any]]:
    """Return groups for an optimiser, each with its ``lr``, of the parameters that ``requires_grad``.

    Vectors (biases, scales of normalisation layers) have no weight decay. Where codes are larger than usual, learning
    rates are lower by that factor, and the head's by its square: AdamW moves a weight by the learning rate whatever is
    multiplied with it.

    Parameters
    ----------
    code_rms
        Root mean square of the codes that the head takes, when training begins.
    """
    usual = min(1.0, USUAL_RMS / max(code_rms, 1e-12))
    top = max(stage_of.values(), default=0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}

    def add(parameters: Iterable[nn.Parameter], lr: float) -> None:
        for parameter in parameters:
            decay = 0.0 if parameter.ndim < 2 else recipe.weight_decay
            groups.setdefault((lr, decay), []).append(parameter)

    for name, parameter in body.named_parameters():
        if parameter.requires_grad:
            stage = stage_of.get(re.sub(r"^.*?network\.", "", name), 0)
            add([parameter], usual * recipe.lr * recipe.layer_decay ** (top - stage))
    add(head.parameters(), usual**2 * recipe.lr)
    return [{"params": members, "lr": lr, "weight_decay": decay} for (lr, decay), members in groups.items()]


def _used(name: str, calls: dict[str, ModuleCall]) -> int:
    """When the module that owns a parameter, or the nearest around it, first returned; 0 where the network owns it."""
    module = name.rpartition(".")[0]
    while module and module not in calls:
        module = module.rpartition(".")[0]
    return calls[module].first if module else 0
