"""A card and a recipe become the network that is trained: its parts, what is frozen, and the head."""

from __future__ import annotations

import copy
import dataclasses
import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from graftwork.backbones.graph import CodesNetwork
from graftwork.backbones.load import batchnorm_statistics, load, untrained
from graftwork.backbones.taps import classifier_name
from graftwork.core.facts import BackboneCard, digest_of
from graftwork.core.plans import Recipe
from graftwork.finetune.cut import Tail, cut_of, freeze, last_layer_network
from graftwork.finetune.folding import Pairs, pairs_to_fold
from graftwork.finetune.learning_rates import stages

LinearHead = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight (k, d) and bias (k,)."""


class Classifier(nn.Module):
    """A body that gives codes, and a linear head on them."""

    def __init__(self, body: nn.Module, head: LinearHead) -> None:
        super().__init__()
        weight, bias = head
        self.body = body
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            self.head.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Margins (b, k)."""
        margins: torch.Tensor = self.head(self.body(inputs)[0])
        return margins


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
    loaded = _looked_through(untrained(card, seed), card) if scratch else _pretrained(_ByDigest(card))
    network = copy.deepcopy(loaded.network)
    _out_of_place(network)
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
    classifier = Classifier(body, (np.zeros_like(weight), np.zeros_like(bias)) if scratch else head)
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not typed
    return Trainable(
        classifier,
        network,
        loaded.stages,
        identity_batchnorm=not scratch and loaded.identity_batchnorm,
        pairs=() if scratch else loaded.pairs,
    )


def pretrained_tensors(card: BackboneCard) -> dict[str, torch.Tensor]:
    """Return every tensor of a card's network by name; they are shared, and must not be changed.

    Raises
    ------
    BackboneError
        When the network cannot be loaded.
    """
    return _pretrained(_ByDigest(card)).network.network.state_dict()


def _out_of_place(network: nn.Module) -> None:
    """Let activations whose gradient needs their input write their output elsewhere.

    In place, autograd copies the input first, which takes as long as the convolution before it.
    """
    for module in network.modules():
        if isinstance(module, (nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.SiLU)):  # ReLU6 is a Hardtanh
            module.inplace = False


@dataclasses.dataclass(frozen=True, eq=False)
class _Loaded:
    """A network and what its parts are."""

    network: CodesNetwork
    stages: dict[str, int]
    identity_batchnorm: bool
    pairs: Pairs


def _looked_through(network: nn.Module, card: BackboneCard) -> _Loaded:
    last = last_layer_network(network, card)
    pairs = pairs_to_fold(network, card.preprocess.input_px)
    return _Loaded(last, stages(last, card), batchnorm_statistics(network) == "identity", pairs)


class _ByDigest:
    """A card as the key of a cache."""

    def __init__(self, card: BackboneCard) -> None:
        self.card = card
        self._digest = digest_of(dataclasses.asdict(card))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByDigest) and other._digest == self._digest

    def __hash__(self) -> int:
        return hash(self._digest)


@functools.lru_cache(maxsize=2)
def _pretrained(key: _ByDigest) -> _Loaded:
    """Load a card's network and look through it, once for all folds; what is trained is a copy."""
    return _looked_through(load(key.card), key.card)
