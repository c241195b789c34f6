"""A card and a recipe become the network that is trained: its parts, what is frozen, and the head."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from graftwork.backbones.forward_pass import classifier_name
from graftwork.backbones.graph import CodesNetwork
from graftwork.backbones.load import untrained
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune.cut import Tail, cut_of, freeze
from graftwork.finetune.engine import FLOAT32, TrainingEngine, training_engine
from graftwork.finetune.folding import Pairs
from graftwork.finetune.pretrained import looked_through, pretrained

LinearHead = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight (k, d) and bias (k,)."""


class Classifier(nn.Module):
    """A body that gives codes, and a linear head on them; computed as an engine says."""

    def __init__(self, body: nn.Module, head: LinearHead, engine: TrainingEngine = FLOAT32) -> None:
        super().__init__()
        weight, bias = head
        self.body = body
        self.engine = engine
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            self.head.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Margins (b, k) in float32."""
        with self.engine.computing(inputs.device):
            margins: torch.Tensor = self.head(self.body(inputs)[0])
        return margins.float()


@dataclasses.dataclass(frozen=True, eq=False)
class Trainable:
    """A classifier that is ready to be trained."""

    classifier: Classifier
    """Its body is the whole network, or the part above the cut where that takes cached activations."""
    network: CodesNetwork
    """The whole network; what is below the cut has no weights where the classifier's body is a ``Tail``."""
    stages: dict[str, int]
    """Stage of each parameter of the network (``learning_rates.stages``)."""
    identity_batchnorm: bool
    """Whether every batch norm has mean 0 and variance 1, as converters leave them (``batchnorm``)."""
    pairs: Pairs
    """Convolutions that can take over their batch norms (``folding``); none where batch norm is trained."""


def trainable(card: BackboneCard, recipe: Recipe, head: LinearHead, *, cached: bool, seed: int) -> Trainable:
    """Cut and freeze a network as a recipe says.

    Parameters
    ----------
    head
        The linear model on the codes of the last layer; a training from random weights begins with zeros instead.
    cached
        Whether the input of a partial fine-tuning is cached activations rather than pixels.
    seed
        For random weights.

    Raises
    ------
    BackboneError
        When the network cannot be loaded, or cannot be cut where the recipe says.
    """
    scratch = recipe.start == "random"
    loaded = looked_through(untrained(card, seed), card) if scratch else pretrained(card)
    network = copy.deepcopy(loaded.network)
    body: nn.Module = network
    if recipe.freeze_to is not None:
        cut = cut_of(card, recipe.freeze_to)
        if cached:
            body = Tail(network, cut, card.preprocess.input_px)
        else:
            freeze(network.network, cut)
    own_classifier = classifier_name(network.network)
    if own_classifier is not None:  # of the classes of pretraining: it runs, and its output is not used
        network.network.get_submodule(own_classifier).requires_grad_(False)
    weight, bias = head
    classifier = Classifier(
        body, (np.zeros_like(weight), np.zeros_like(bias)) if scratch else head, training_engine(card)
    )
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not typed
    return Trainable(
        classifier,
        network,
        loaded.stages,
        identity_batchnorm=not scratch and loaded.identity_batchnorm,
        pairs=() if scratch else loaded.pairs,
    )
