"""One fine-tuning from end to end: a card, a linear head and images in; moved weights and margins out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from graftwork.backbones.load import batchnorm_statistics, load, untrained
from graftwork.backbones.taps import classifier_name
from graftwork.codes.extract import LayerCodes
from graftwork.core.arrays import Ints
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.errors import TrainingError
from graftwork.finetune.batchnorm import measure_statistics
from graftwork.finetune.cut import Cut, Tail, find_cut, last_layer_network
from graftwork.finetune.learning_rates import parameter_groups, stages
from graftwork.finetune.loop import Classifier, Told, in_batches, margins, train
from graftwork.finetune.sources import source_of
from graftwork.images.imageset import ImageSet

WATCHED = 4
"""Of the images left out at most one for so many trained on is read after each epoch: enough for a curve."""
LinearHead = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuned:
    """What a fine-tuning leaves behind at one share of the way (``Recipe.keep``)."""

    head: LinearHead
    """Weight (k, d) and bias (k,)."""
    body: dict[str, NDArray[Any]]
    """Every tensor of the network by name, frozen ones too."""
    margins: NDArray[np.float32]
    """(len(held_out), k)."""
    curve: tuple[tuple[float, float], ...]
    """After each epoch, the loss on the images trained on and the log loss on those held out."""


def cut_of(card: BackboneCard, layer: str) -> Cut:
    """Return the cut of a card's network above a layer; raises BackboneError as ``find_cut``."""
    return find_cut(load(card), card, layer)


def tune(
    card: BackboneCard,
    images: ImageSet,
    y: Ints,
    head: LinearHead,
    recipe: Recipe,
    *,
    activations: LayerCodes | None,
    rows: Ints,
    held_out: Ints,
    alphas: Sequence[float],
    class_weight: NDArray[np.float32] | None,
    seed: int,
    checkpoint: Path | None,
    told: Told,
) -> tuple[FineTuned, ...]:
    """Fine-tune on some images, and read the others; one result for each share of the way in ``keeps``.

    Parameters
    ----------
    head
        The linear model on the codes of the last layer, fitted on ``rows`` alone; where training begins.
    maps
        Activations of ``images`` at ``recipe.freeze_to``, where they were kept; None passes through the whole network.
    rows, held_out
        Indices into ``images`` and ``y``.

    Raises
    ------
    TrainingError, OutOfTimeError
        As ``loop.train``; also when what is read is no number.
    """
    scratch = recipe.start == "random"
    body = last_layer_network(untrained(card, seed) if scratch else load(card), card)
    folded = not scratch and batchnorm_statistics(body.network) == "identity"
    stage_of = stages(body, card)
    trained: nn.Module = body
    if recipe.freeze_to is not None:
        cut = find_cut(body.network, card, recipe.freeze_to)
        if activations is not None:
            trained = Tail(body, cut, card.preprocess.input_px)
        else:
            freeze(body.network, cut)
    classifier = classifier_name(body.network)
    if classifier is not None:  # of the classes of old: it runs, and nothing reads it
        body.network.get_submodule(classifier).requires_grad_(False)
    classifier = Classifier(trained, *((np.zeros_like(part) for part in head) if scratch else head))
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not typed
    source = source_of(recipe, images, card.preprocess, activations, seed)
    if folded:
        measure_statistics(trained, source.stream(in_batches(rows), None))
    before = _weights(classifier)
    curve = train(
        classifier,
        parameter_groups(trained, classifier.head, stage_of, recipe),
        source,
        rows,
        y,
        recipe,
        class_weight=class_weight,
        held_out=held_out[:: math.ceil(WATCHED * len(held_out) / len(rows)) or 1],
        seed=seed,
        checkpoint=checkpoint,
        told=told,
    )
    after = _weights(classifier)
    found = []
    for alpha in alphas:
        with torch.no_grad():
            for name, parameter in classifier.named_parameters():
                start = before[name].to(parameter.device)  # taken before the student was placed
                parameter.copy_(torch.lerp(start, after[name], alpha))
        own = {name: tensor.detach().cpu().numpy().copy() for name, tensor in body.network.state_dict().items()}
        whole = {name: tensor.numpy() for name, tensor in load(card).state_dict().items()} | own
        weight, bias = (p.detach().cpu().numpy().copy() for p in (classifier.head.weight, classifier.head.bias))
        rows_found = margins(classifier, source, held_out)
        if not np.isfinite(rows_found).all():
            raise TrainingError(f"margins must be numbers, but some were not; lower --lr from {recipe.lr:g}")
        found.append(FineTuned((weight, bias), whole, rows_found, tuple(curve)))
    return tuple(found)


def freeze(network: nn.Module, cut: Cut) -> None:
    """Nothing at or below the cut takes a gradient; what belongs to no module that runs there stays as it is, too."""
    above = set(network.modules())
    for name in (*cut.below, cut.module):
        above -= set(network.get_submodule(name).modules())
    root = network
    for module in network.modules():
        if module not in above or module is root:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)


def _weights(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in classifier.named_parameters()}
