"""A card's network as training needs it: loaded once for all folds, looked through, never changed."""

from __future__ import annotations

import dataclasses
import functools

from torch import nn

from graftwork.backbones.graph import CodesNetwork
from graftwork.backbones.load import batchnorm_statistics, load
from graftwork.core.facts import BackboneCard, digest_of
from graftwork.errors import BackboneError
from graftwork.finetune.cut import last_layer_network
from graftwork.finetune.folding import Pairs, pairs_to_fold
from graftwork.finetune.learning_rates import stages


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """A network and what its parts are; what is trained is a copy."""

    network: CodesNetwork
    """Up to its last layer."""
    stages: dict[str, int]
    """Stage of each parameter (``learning_rates.stages``)."""
    identity_batchnorm: bool
    """Whether every batch norm has mean 0 and variance 1, as converters leave them (``batchnorm``)."""
    pairs: Pairs
    """Convolutions that can take over their batch norms (``folding``)."""


def pretrained(card: BackboneCard) -> Loaded:
    """Return the network of a card with its weights; the last few are kept.

    Raises
    ------
    BackboneError
        When the network cannot be loaded.
    """
    return _pretrained(_ByDigest(card))


def takes_its_input(card: BackboneCard) -> bool:
    """Whether a network runs on images of its card's size, which may not be what it was made for."""
    try:
        pretrained(card)
    except (BackboneError, RuntimeError, AssertionError):  # the last two are what networks raise themselves
        return False
    return True


def looked_through(network: nn.Module, card: BackboneCard) -> Loaded:
    """Return a network with what its parts are."""
    for module in network.modules():
        # in place, autograd copies the input first where the gradient needs it, which takes as long as a convolution
        if isinstance(module, (nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.SiLU)):  # ReLU6 is a Hardtanh
            module.inplace = False
    last = last_layer_network(network, card)
    pairs = pairs_to_fold(network, card.preprocess.input_px)
    return Loaded(last, stages(last, card), batchnorm_statistics(network) == "identity", pairs)


class _ByDigest:
    """A card as the key of a cache."""

    def __init__(self, card: BackboneCard) -> None:
        self.card = card
        self._digest = digest_of(dataclasses.asdict(card))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByDigest) and other._digest == self._digest

    def __hash__(self) -> int:
        return hash(self._digest)


@functools.lru_cache(maxsize=4)
def _pretrained(key: _ByDigest) -> Loaded:
    return looked_through(load(key.card), key.card)
