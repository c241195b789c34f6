"""One fine-tuning from end to end: a card, a linear head and images in; fine-tuned weights and margins out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.core.trials import Curve
from graftwork.errors import TrainingError
from graftwork.finetune.batchnorm import measure_statistics
from graftwork.finetune.folding import fold
from graftwork.finetune.learning_rates import parameter_groups
from graftwork.finetune.loop import in_batches, margins, train
from graftwork.finetune.network import Classifier, LinearHead, trainable
from graftwork.finetune.pretrained import pretrained
from graftwork.finetune.sources import TrainingData, source_of
from graftwork.listener import Listener


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuned:
    """What a fine-tuning leaves behind at one ``Recipe.alpha``."""

    head: LinearHead
    body: dict[str, NDArray[Any]]
    """Every tensor of the network by name, frozen ones too."""
    margins: dict[int, NDArray[np.float32]]
    """(number of validation images, k) averaged over views, by their number: one, and ``TrainingData.views`` at alpha 1
    (half of the cost of a fold's validation would be those of other alphas)."""
    curve: Curve


def fine_tune(
    card: BackboneCard,
    recipe: Recipe,
    head: LinearHead,
    data: TrainingData,
    *,
    alphas: Sequence[float],
    checkpoint: Path | None,
    enough_time: Callable[[float], bool],
    listener: Listener,
) -> tuple[FineTuned, ...]:
    """Fine-tune a network, and compute the margins of the validation images; one result for each alpha.

    Parameters
    ----------
    head
        The linear model on the codes of the last layer, fitted on the training images alone; where training begins.
    checkpoint, enough_time
        As ``loop.train``.

    Raises
    ------
    TrainingError, OutOfTimeError
        As ``loop.train``; also when margins are NaN or infinite.
    """
    cached = data.activations is not None
    model = trainable(card, recipe, head, cached=cached, seed=data.seed)
    classifier = model.classifier
    source = source_of(recipe, data, card.preprocess)
    if model.identity_batchnorm:
        measure_statistics(classifier.body, source.stream(in_batches(data.rows), None))
    fold(model.network.network, model.pairs)
    before = _weights(classifier)
    curve = train(
        classifier,
        parameter_groups(classifier.body, classifier.head, model.stages, recipe, code_rms=data.code_rms),
        source,
        data,
        recipe,
        checkpoint=checkpoint,
        enough_time=enough_time,
        listener=listener,
    )
    after = _weights(classifier)
    results = []
    for alpha in alphas:
        _interpolate(classifier, before, after, alpha)
        weight, bias = (p.detach().cpu().numpy().copy() for p in (classifier.head.weight, classifier.head.bias))
        rows = margins(classifier, source, data.validation, data.views if alpha == 1 else 1)
        if not all(np.isfinite(values).all() for values in rows.values()):
            raise TrainingError(f"margins must be finite, but some were NaN or infinite; lower --lr from {recipe.lr:g}")
        results.append(FineTuned((weight, bias), _body(card, model.network.network), rows, tuple(curve)))
    return tuple(results)


@torch.no_grad()
def _interpolate(
    classifier: Classifier, before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], alpha: float
) -> None:
    """Set the weights to ``(1 - alpha) * before + alpha * after`` (WiSE-FT)."""
    for name, parameter in classifier.named_parameters():
        start = before[name].to(parameter.device)  # taken before the classifier was moved to its device
        parameter.copy_(torch.lerp(start, after[name], alpha))


def _body(card: BackboneCard, network: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """Every tensor of a network by name; those below a cut, which the trained part lacks, from the card's weights."""
    whole = pretrained(card).network.network.state_dict() | network.state_dict()
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in whole.items()}


def _weights(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in classifier.named_parameters()}
